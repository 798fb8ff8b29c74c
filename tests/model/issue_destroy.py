"""A model of activator, reaper, network and crash over the real lease functions.

A state is small and hashable; every process may take its next step at any time, the network
may deliver, drop or delay, and either process may crash. Time has one tick: the fence passes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from sojourn.core.lease import (
    Lease,
    LeaseState,
    absence_counts,
    begin_destroy,
    destroyed,
    issued,
    located,
    settle,
)
from sojourn.testing.clock import START
from tests.model.lives import AFTER_THE_FENCE, a_lease

MADE: Final = "oid"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the system does; each mutant changes one rule."""

    absence_is_enough: bool = False
    judged_afterwards: bool = False  # an observation counts by what is known when it is recorded
    sends: int = 1
    target_checks_fence: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """Everything that matters at one moment."""

    lease: Lease = field(default_factory=a_lease)
    late: bool = False  # the fence has passed
    to_send: int = 1
    in_flight: int = 0  # issues on the wire
    there: bool = False  # the credential exists
    answers: int = 0  # answers on the wire
    activator: bool = True  # it runs; a crash ends it
    observed: str = ""  # when the reaper saw that it is absent: "", "early", "late"
    proves: bool = False  # whether that counted by what was on record before it looked

    @property
    def now(self) -> timedelta:
        """Time, as far as it matters."""
        return timedelta(seconds=60) if self.late else timedelta(0)


def is_orphan(world: World) -> bool:
    """A credential exists, or may come to exist, that the record calls gone."""
    return world.lease.state is LeaseState.DESTROYED and world.there


def successors(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Every step anybody can take."""
    yield from _activator(world)
    yield from _network(world, rules)
    yield from _reaper(world, rules)
    if not world.late:
        yield "the fence passes", replace(world, late=True)


def _activator(world: World) -> Iterator[tuple[str, World]]:
    if not world.activator:
        return
    yield "the activator crashes", replace(world, activator=False)
    # It need not know that the session was ended: it may have been paused since its commit.
    if world.to_send:
        yield "issue sent", replace(world, to_send=world.to_send - 1, in_flight=world.in_flight + 1)
    if world.answers:
        answered = replace(world, answers=world.answers - 1)
        now = START + world.now
        if world.lease.state is LeaseState.PLANNED:
            yield "issued", replace(answered, lease=_bare(issued(world.lease, MADE, now).row))
        elif world.lease.state is LeaseState.DESTROYING:
            yield "settled", replace(answered, lease=_bare(settle(world.lease, MADE, now).row))


def _network(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    if not world.in_flight:
        return
    gone = replace(world, in_flight=world.in_flight - 1)
    yield "issue lost", gone
    if not (world.late and rules.target_checks_fence):
        yield "issue lands", replace(gone, there=True, answers=world.answers + 1)
        yield "issue lands, answer lost", replace(gone, there=True)


def _reaper(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    lease, now = world.lease, START + world.now
    if lease.state in (LeaseState.PLANNED, LeaseState.ISSUED):
        yield "session ended", replace(world, lease=_bare(begin_destroy(lease, now).row))
    if lease.state is not LeaseState.DESTROYING:
        return
    if world.there and lease.target_ref is None:
        yield "located", replace(world, lease=_bare(located(lease, MADE, now).row))
    if world.there and lease.target_ref is not None:
        yield "dropped", replace(world, there=False)
    since = AFTER_THE_FENCE if world.late else START
    if not world.there and not world.observed:
        counts = absence_counts(lease, since)
        yield "observed absent", replace(world, observed="late" if world.late else "early", proves=counts)
    if world.observed:
        yield "observation lost", replace(world, observed="", proves=False)
        seen = AFTER_THE_FENCE if world.observed == "late" or rules.absence_is_enough else START
        counts = rules.absence_is_enough or world.proves
        if rules.judged_afterwards:
            counts = absence_counts(lease, seen)
        if counts:
            done = destroyed(lease, "seen", seen, now).row
            yield "destroyed", replace(world, lease=_bare(done), observed="", proves=False)


def _bare(lease: Lease) -> Lease:
    """The lease without what only counts or dates: states that are alike are one."""
    return replace(lease, version=1, destroyed_at=None, method=None)


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search found."""

    states: int
    orphans: int
    finished: int  # states in which the lease is destroyed
    shortest: tuple[str, ...]  # the way to the first orphan


def explore(rules: Rules) -> Explored:
    """Go through every state that can be reached."""
    first = World(to_send=rules.sends)
    seen: dict[World, tuple[str, ...]] = {first: ()}
    waiting = deque([first])
    orphans: list[World] = []
    while waiting:
        world = waiting.popleft()
        if is_orphan(world):
            orphans.append(world)
        for name, after in successors(world, rules):
            if after not in seen:
                seen[after] = (*seen[world], name)
                waiting.append(after)
    finished = sum(world.lease.state is LeaseState.DESTROYED for world in seen)
    return Explored(len(seen), len(orphans), finished, seen[orphans[0]] if orphans else ())
