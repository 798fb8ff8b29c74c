"""Every order in which a feed can lose, delay and reorder, against the real RevocationView.

Time is whole ticks. A guard asks, the question may be lost, the answer is written at some tick
and arrives at any later one, also after the answer to a later question. Safety: L ticks after an
end nobody is accepted. The mutant counts the lease from receipt, and must be caught.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.errors import Unavailable
from sojourn.core.revocation import Entry, Kind, Mark, Page, RevocationView, Standing
from sojourn.core.token import AccessClaims

L = 3
LAST_TICK = 8
MOST_IN_FLIGHT = 2
AT = datetime(2026, 1, 1, tzinfo=UTC)
CLAIMS = AccessClaims(
    "i", "c", "a", "t", AT, AT + timedelta(300), "k", frozenset(), "ses_1", 1, (), 1, 0, "t:1", "o", "ch@1"
)


@dataclass(frozen=True, order=True)
class Message:
    """A question (`knows` is None), or its answer and whether it tells of the end."""

    sent: int
    knows: bool | None = None


@dataclass(frozen=True)
class World:
    now: int = 0
    ended: int | None = None
    flying: tuple[Message, ...] = ()
    heard: tuple[tuple[int, bool], ...] = ()  # lease start and news of each answer, in order of arrival


def view_of(world: World) -> RevocationView:
    view = RevocationView()
    for start, knows in world.heard:
        entries = (Entry(1, Kind.SESSION, "ses_1"),) if knows else ()
        try:
            view.apply(Page(Mark(1, int(knows)), AT, True, entries), sent_at=start, received_at=start)
        except Unavailable:
            continue  # an older answer than one before: the view says so itself
    return view


def accepts(world: World) -> bool:
    view = view_of(world)
    return not view.deaf(world.now, timedelta(seconds=L)) and view.standing(CLAIMS) is Standing.LIVE


def steps(world: World, *, from_receipt: bool) -> list[World]:
    following = []
    if world.now < LAST_TICK:
        following.append(replace(world, now=world.now + 1))
    if world.ended is None:
        following.append(replace(world, ended=world.now))
    if len(world.flying) < MOST_IN_FLIGHT:
        following.append(replace(world, flying=tuple(sorted((*world.flying, Message(world.now)), key=str))))
    for message in set(world.flying):
        rest = list(world.flying)
        rest.remove(message)
        following.append(replace(world, flying=tuple(rest)))  # lost
        if message.knows is None:
            answer = Message(message.sent, world.ended is not None)
            following.append(replace(world, flying=tuple(sorted((*rest, answer), key=str))))
        if message.knows is not None:
            start = world.now if from_receipt else message.sent
            following.append(
                replace(world, flying=tuple(rest), heard=_shorten(world.heard, (start, message.knows)))
            )
    return following


def _shorten(heard: tuple[tuple[int, bool], ...], new: tuple[int, bool]) -> tuple[tuple[int, bool], ...]:
    """Keep what can matter: the latest start, whether news came, and the last answer."""
    every = (*heard, new)
    news = max((start for start, knows in every if knows), default=None)
    none = max((start for start, knows in every if not knows), default=None)
    kept = [] if none is None or new[1] else [(none, False)]
    return (*(() if news is None else ((news, True),)), *kept)


@dataclass
class Found:
    states: int = 0
    violations: int = 0
    accepted: int = 0
    accepted_after_end: int = 0
    refused_by_news: int = 0
    deaf: int = 0
    rolled_back: int = 0


def explore(*, from_receipt: bool) -> Found:
    found, first = Found(), World()
    seen, queue = {first}, deque([first])
    while queue:
        world = queue.popleft()
        judge(world, found)
        for following in steps(world, from_receipt=from_receipt):
            if following not in seen:
                seen.add(following)
                queue.append(following)
    found.states = len(seen)
    return found


def judge(world: World, found: Found) -> None:
    view = view_of(world)
    accepted = accepts(world)
    found.accepted += accepted
    found.accepted_after_end += accepted and world.ended is not None
    found.deaf += view.deaf(world.now, timedelta(seconds=L))
    found.rolled_back += view.rolled_back
    found.refused_by_news += view.standing(CLAIMS) is Standing.OVER
    heard_news = any(knows for _, knows in world.heard)
    late = world.ended is not None and world.now > world.ended + L
    found.violations += accepted and (late or heard_news)


def test_nobody_is_accepted_a_lease_after_an_end_whatever_the_network_does() -> None:
    found = explore(from_receipt=False)

    print(found)
    assert found.violations == 0
    # A model in which nothing happens proves nothing.
    assert found.states > 1000
    assert (
        min(found.accepted, found.accepted_after_end, found.refused_by_news, found.deaf, found.rolled_back)
        > 0
    )


def test_a_lease_counted_from_receipt_is_caught() -> None:
    assert explore(from_receipt=True).violations > 0


@pytest.mark.parametrize("late", [L, L + 1])
def test_the_bound_of_the_model_is_the_one_that_is_stated(late: int) -> None:
    world = World(now=late, ended=0, heard=((0, False),))

    assert not accepts(world)
