"""What the reaper takes on, in virtual time: a dead target never crowds out a healthy one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import cast

import pytest

from sojourn.config import Settings
from sojourn.core.change import Change, Errand, ErrandKind
from sojourn.core.errors import Unavailable
from sojourn.core.ids import ERRAND, LEASE, SESSION, TARGET, ErrandId, LeaseId, SessionId, TargetId
from sojourn.core.lease import Lease
from sojourn.ports.provider import Providers
from sojourn.ports.store import Store
from sojourn.services._kept import KeptSecrets
from sojourn.services._reaping import Look, Proven, Reaping
from sojourn.services.reap_leases import SLOTS_PER_TARGET, ReapLeases
from sojourn.testing.clock import START, LoopClock, simulate
from tests.rig.store import an_id

DEAD, HEALTHY = TargetId(an_id(TARGET, 1)), TargetId(an_id(TARGET, 2))
HOLD = Settings("https://x.example").hold_errand
MOST_TAKEN_ON = 40  # of one target: two claims, and what is under way


def errands(count: int, target: TargetId, first: int) -> list[Errand]:
    """So many that are due; those with lower numbers first."""
    return [
        Errand(
            ErrandId(an_id(ERRAND, number)),
            ErrandKind.DESTROY,
            LeaseId(an_id(LEASE, number)),
            SessionId(an_id(SESSION, number)),
            target,
            START,
        )
        for number in range(first, first + count)
    ]


class Due:
    """The errands of a store, and what the reaper asks of them."""

    def __init__(self, clock: LoopClock, *waiting: Errand) -> None:
        self.clock = clock
        self.waiting = {errand.id: errand for errand in waiting}
        self.held: dict[ErrandId, datetime] = {}
        self.claims = 0
        self.taken: Counter[ErrandId] = Counter()  # how often each was claimed
        self.of_lease = {errand.lease: errand for errand in waiting}

    async def claim(
        self, holder: str, now: datetime, *, hold: timedelta, limit: int, without: Collection[TargetId]
    ) -> Sequence[Errand]:
        """The oldest that nobody holds."""
        self.claims += 1
        free = [one for one in self.waiting.values() if self._is_free(one, now) and one.target not in without]
        taken = sorted(free, key=lambda one: one.id)[:limit]
        self.held |= {one.id: now + hold for one in taken}
        self.taken.update(one.id for one in taken)
        return taken

    def _is_free(self, errand: Errand, now: datetime) -> bool:
        return self.held.get(errand.id, now) <= now

    async def lease(self, lease: LeaseId) -> None:
        """Of the dead target the answer never comes; of the other there is no lease any more."""
        if self.of_lease[lease].target == DEAD:
            await asyncio.Event().wait()

    async def commit(self, change: Change) -> None:
        """What is done is gone."""
        for errand in change.done:
            del self.waiting[errand]

    async def hold_on(self, holder: str, until: datetime, errands: Collection[ErrandId]) -> None:
        """Only what is named."""
        self.held |= dict.fromkeys(errands, until)

    async def postpone(self, errand: ErrandId, holder: str, run_at: datetime, error: str) -> bool:
        """The database is away whenever something is to be given back."""
        raise Unavailable("store_unavailable", "away")

    async def next_errand_at(self, *, without: Collection[TargetId]) -> datetime | None:
        """When the first of them is due."""
        now = self.clock.now()
        free = [one for one in self.waiting.values() if self._is_free(one, now) and one.target not in without]
        return min((one.run_at for one in free), default=None)

    async def target(self, target: TargetId) -> None:
        """None is on record."""

    async def sessions(self, which: object, *, after: object, limit: int) -> list[object]:
        """None is left over."""
        return []


PROVEN = Proven(cast("Lease", None), cast("Look", None))


class AtOnce:
    """Reaping whose target proves at once, but hangs at some; and when each proof was recorded."""

    def __init__(self, due: Due, *, hangs: Collection[ErrandId] = ()) -> None:
        self.due = due
        self.hangs = hangs
        self.recorded: dict[ErrandId, datetime] = {}
        self.begun = 0

    async def attempt(self, errand: Errand) -> Proven:
        """A proof, a moment later."""
        if errand.id in self.hangs:
            await asyncio.Event().wait()
        self.begun += 1
        await self.due.clock.sleep(0.001 + self.begun / 1e6)  # no two end at the same instant
        return PROVEN

    async def conclude(self, errand: Errand, proven: Proven) -> None:
        """On record."""
        assert proven is PROVEN
        self.recorded[errand.id] = self.due.clock.now()
        await self.due.commit(Change(done=(errand.id,)))


def play(story: Callable[[Due, ReapLeases], Awaitable[None]], *waiting: Errand) -> None:
    """Tell `story` in virtual time while the reaper runs."""

    async def run() -> None:
        clock = LoopClock()
        due = Due(clock, *waiting)
        store, none = cast("Store", due), cast("Providers", None)
        # The ids of these errands say that they are decades old; nothing here is about what is stuck.
        settings = Settings("https://x.example", stuck_after=timedelta(days=100 * 365))
        reap = ReapLeases(store, clock, none, settings, holder="one", kept=cast("KeptSecrets", None))
        running = asyncio.create_task(reap.run(asyncio.Event()))
        await story(due, reap)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    simulate(1, run())


def test_a_dead_target_holds_up_nothing_and_is_not_taken_on_whole() -> None:
    async def story(due: Due, reap: ReapLeases) -> None:
        await due.clock.sleep(1.0)

        assert {one.target for one in due.waiting.values()} == {DEAD}
        assert SLOTS_PER_TARGET <= len(due.held.keys() & due.waiting.keys()) <= MOST_TAKEN_ON

    play(story, *errands(200, DEAD, 1), *errands(100, HEALTHY, 201))


def test_a_target_with_enough_to_do_wakes_nobody() -> None:
    async def story(due: Due, reap: ReapLeases) -> None:
        await due.clock.sleep(1.0)
        claims = due.claims
        await due.clock.sleep(10.0)

        assert due.claims - claims <= 11  # it looks each second for what another node queued

    play(story, *errands(200, DEAD, 1))


def test_what_cannot_be_given_back_is_claimed_again_though_others_are_worked_on() -> None:
    async def story(due: Due, reap: ReapLeases) -> None:
        attempt_s = Settings("https://x.example").attempt_within.total_seconds()
        await due.clock.sleep(attempt_s + 1.0)  # the first have failed, and could not be given back
        stranded = sorted(due.waiting)[:SLOTS_PER_TARGET]
        assert [due.taken[errand] for errand in stranded] == [1] * SLOTS_PER_TARGET

        await due.clock.sleep(HOLD.total_seconds() + 1.0)

        assert [due.taken[errand] for errand in stranded] == [2] * SLOTS_PER_TARGET

    play(story, *errands(2 * SLOTS_PER_TARGET, DEAD, 1))


def test_what_many_destructions_proved_is_recorded_together() -> None:
    async def story(due: Due, reap: ReapLeases) -> None:
        target = AtOnce(due)
        reap._reaping = cast("Reaping", target)
        await due.clock.sleep(5.0)

        assert due.waiting == {}
        assert len(set(target.recorded.values())) <= 60, "a write for each"
        assert not reap._held

    play(story, *errands(200, HEALTHY, 1))


def test_a_single_proof_is_recorded_at_once() -> None:
    async def story(due: Due, reap: ReapLeases) -> None:
        target = AtOnce(due)
        reap._reaping = cast("Reaping", target)
        await due.clock.sleep(1.0)

        (recorded,) = target.recorded.values()
        assert recorded - START < timedelta(seconds=0.01)

    play(story, *errands(1, HEALTHY, 1))


def test_a_proof_does_not_wait_for_a_target_that_hangs_afterwards() -> None:
    waiting = errands(2 * SLOTS_PER_TARGET, HEALTHY, 1)
    early, late = waiting[:SLOTS_PER_TARGET], waiting[SLOTS_PER_TARGET:]

    async def story(due: Due, reap: ReapLeases) -> None:
        target = AtOnce(due, hangs={one.id for one in late})
        reap._reaping = cast("Reaping", target)
        await due.clock.sleep(0.5)

        assert target.recorded.keys() == {one.id for one in early}
        assert reap._held == {one.id for one in late}

    play(story, *waiting)
