"""Targets are tried out again on their schedule, by one node, and open or shut accordingly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sojourn.core.errors import TargetError
from sojourn.core.target import Target, TargetState
from sojourn.ports.provider import Check
from sojourn.services.preflight_due import PreflightDue
from sojourn.services.preflight_target import PreflightTarget
from sojourn.testing.fakes import FakeProviders
from tests.services.rig import play
from tests.sim.gates import GateProvider
from tests.sim.world import Node, World


class Rehearsal:
    """The real preflight, whose canary dies only while `fit`."""

    def __init__(self, world: World, process: Node) -> None:
        providers = FakeProviders({n: GateProvider(world, process, t) for n, t in world.targets.items()})
        self._real = PreflightTarget(world.store, world.clock, providers, world.settings)
        self.fit = self.reachable = True
        self.tried: list[str] = []
        self.due = PreflightDue(world.store, world.clock, self._preflight, world.settings)

    async def _preflight(self, name: str) -> tuple[Target, Sequence[Check]]:
        self.tried.append(name)
        if not self.reachable:
            raise TargetError("target_unreachable", "no answer")
        if self.fit:
            return await self._real(name)
        return await self._real._record(name, False), ()


async def states(world: World) -> set[TargetState]:
    return {target.state for target in await world.store.targets()}


def test_nothing_is_tried_out_before_its_time() -> None:
    async def story(world: World, process: Node) -> None:
        rehearsal = Rehearsal(world, process)

        assert await rehearsal.due.run_once() == 0

        await world.clock.sleep(world.settings.preflight_every.total_seconds() - 1)
        assert await rehearsal.due.run_once() == 0

        await world.clock.sleep(1)
        assert await rehearsal.due.run_once() == len(world.targets)
        assert await rehearsal.due.run_once() == 0

    play(story)


def test_a_target_that_went_bad_opens_nothing_until_it_passes_again() -> None:
    async def story(world: World, process: Node) -> None:
        rehearsal = Rehearsal(world, process)
        await world.clock.sleep(world.settings.preflight_every.total_seconds())

        rehearsal.fit = False
        await rehearsal.due.run_once()
        assert await states(world) == {TargetState.UNFIT}

        rehearsal.fit = True
        assert await rehearsal.due.run_once() == 0
        await world.clock.sleep(world.settings.preflight_unfit_every.total_seconds())
        await rehearsal.due.run_once()
        assert await states(world) == {TargetState.READY}

    play(story)


def test_a_target_that_cannot_be_asked_keeps_its_state_and_is_asked_again() -> None:
    async def story(world: World, process: Node) -> None:
        rehearsal = Rehearsal(world, process)
        rehearsal.reachable = False
        await world.clock.sleep(world.settings.preflight_every.total_seconds())

        assert await rehearsal.due.run_once() == 0
        assert await states(world) == {TargetState.READY}

        rehearsal.reachable = True
        await world.clock.sleep(world.settings.preflight_unfit_every.total_seconds())
        assert await rehearsal.due.run_once() == len(world.targets)

    play(story)


def test_of_two_nodes_one_tries_a_target_out() -> None:
    async def story(world: World, process: Node) -> None:
        here, there = Rehearsal(world, process), Rehearsal(world, world.start(worker=False))
        await world.clock.sleep(world.settings.preflight_every.total_seconds())

        await asyncio.gather(here.due.run_once(), there.due.run_once())

        assert sorted(here.tried + there.tried) == sorted(world.targets)

    play(story)
