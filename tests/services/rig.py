"""One process of the simulation, without chance: for tests of single services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sojourn.core.session import BeatRule
from sojourn.testing.clock import simulate
from tests.sim.world import Node, World

T = TypeVar("T")


def play(story: Callable[[World, Node], Awaitable[T]], *, beat: BeatRule | None = None) -> T:
    """Tell `story` in virtual time, with one process and no worker."""

    async def run() -> T:
        world = World(1)
        await world.furnish(beat=beat)
        answer = await story(world, world.start(worker=False))
        assert not world.laws.broken
        return answer

    return simulate(1, run())
