"""The loops go on whatever fails, are woken by what was committed, and stop when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import pytest

from sojourn.core.change import Errand
from sojourn.core.errors import Unavailable
from sojourn.core.session import State
from sojourn.services.announce_revocations import AnnounceRevocations
from sojourn.services.reap_leases import ReapLeases
from sojourn.services.sweep_deadlines import SweepDeadlines
from sojourn.testing.clock import simulate
from sojourn.worker import ANNOUNCE_EVERY_S, FORGET_EVERY_S, SEAL_EVERY_S, Worker
from tests.sim.scenarios import KILL
from tests.sim.world import Node, World

SWEEP_EVERY_S = 0.5


@dataclass
class Loop:
    """Stands for one of the services: counts its turns, and fails when told."""

    fails: int = 0
    turns: int = 0
    at: list[float] = field(default_factory=list)
    clock: Callable[[], float] = lambda: 0.0

    async def run_once(self) -> int:
        self.turns += 1
        self.at.append(self.clock())
        if self.turns <= self.fails:
            raise RuntimeError("a defect")
        return 0

    async def run(self, woken: asyncio.Event) -> None:
        while True:
            await self.run_once()
            woken.clear()
            await woken.wait()


@dataclass
class Loops:
    """A worker whose services are counted, over a store that may fail."""

    world: World
    process: Node
    reap: Loop = field(default_factory=Loop)
    sweep: Loop = field(default_factory=Loop)
    announce: Loop = field(default_factory=Loop)
    seal: Loop = field(default_factory=Loop)

    def worker(self) -> Worker:
        for loop in (self.reap, self.sweep, self.announce, self.seal):
            if isinstance(loop, Loop):
                loop.clock = self.world.clock.monotonic
        return Worker(
            cast(ReapLeases, self.reap),
            cast(SweepDeadlines, self.sweep),
            cast(AnnounceRevocations, self.announce),
            self.seal,
            clock=self.world.clock,
            store=self.process.store,
            wake=self.process.wake,
            sweep_every_s=SWEEP_EVERY_S,
        )


def play(story: Callable[[Loops], Awaitable[None]]) -> None:
    """Tell `story` in virtual time."""

    async def run() -> None:
        world = World(1)
        await world.furnish()
        await story(Loops(world, world.start(worker=False)))

    simulate(1, run())


async def during(loops: Loops, seconds: float) -> Worker:
    """Let a worker run for so long, then stop it as a server does."""
    worker = loops.worker()
    running = asyncio.create_task(worker.run())
    await loops.world.clock.sleep(seconds)
    assert not running.done(), "it returns only when it is cancelled"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return worker


def test_every_loop_keeps_its_period() -> None:
    async def story(loops: Loops) -> None:
        worker = await during(loops, 10.0)

        assert loops.sweep.turns == pytest.approx(10 / SWEEP_EVERY_S, abs=1)
        assert loops.announce.turns == pytest.approx(10 / ANNOUNCE_EVERY_S, abs=2)
        assert loops.seal.turns >= 10 / (SEAL_EVERY_S + 0.2) - 1
        assert loops.reap.turns == 1 and not worker.errors

    play(story)


@pytest.mark.parametrize("name", ["reap", "sweep", "announce", "seal"])
def test_a_loop_that_fails_is_counted_and_goes_on_and_so_do_the_others(name: str) -> None:
    async def story(loops: Loops) -> None:
        getattr(loops, name).fails = 5

        worker = await during(loops, 10.0)

        assert worker.errors == {name: 5}
        assert getattr(loops, name).turns > 5
        assert loops.sweep.turns > 10 and loops.announce.turns > 50

    play(story)


def test_a_store_that_is_away_does_not_end_the_forgetting() -> None:
    async def story(loops: Loops) -> None:
        calls = 0

        async def forget(now: datetime) -> int:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise Unavailable("store_unavailable", "no answer")
            return 0

        loops.world.store.forget_expired = forget  # type: ignore[method-assign]

        worker = await during(loops, 3 * FORGET_EVERY_S)

        assert calls == 2 and not worker.errors and worker.away == {"forget": 1}

    play(story)


def test_a_store_that_does_not_answer_a_claim_is_no_defect() -> None:
    async def story(loops: Loops) -> None:
        async def claim(*_args: object, **_named: object) -> list[Errand]:
            raise Unavailable("store_unavailable", "no answer")

        loops.world.store.claim = claim  # type: ignore[method-assign]
        loops.reap = cast(Loop, loops.process.reap)  # the real one, whose task group wraps what it raises

        worker = await during(loops, 3.0)

        assert worker.away["reap"] > 1 and not worker.errors

    play(story)


def test_a_commit_wakes_what_it_concerns_long_before_the_period() -> None:
    async def story(loops: Loops) -> None:
        session = (await loops.world.open(loops.process)).session.id
        worker = loops.worker()
        running = asyncio.create_task(worker.run())
        await loops.world.clock.sleep(5.03)
        ended_at, before = loops.world.clock.monotonic(), loops.reap.turns

        await loops.process.end(session, KILL)
        await loops.world.clock.sleep(0.01)
        running.cancel()

        assert loops.reap.turns == before + 1 and loops.reap.at[-1] - ended_at < 0.01
        assert loops.announce.at[-1] - ended_at < 0.01

    play(story)


def test_the_real_services_bring_an_end_through_by_themselves() -> None:
    async def run() -> None:
        world = World(1)
        await world.furnish()
        process = world.start()
        session = (await world.open(process)).session.id

        await process.end(session, KILL)
        await world.clock.sleep(1.0)

        assert world.store.all_sessions()[0].state is State.ENDED
        assert not world.targets["shop"].living() and not world.store.errands

    simulate(1, run())
