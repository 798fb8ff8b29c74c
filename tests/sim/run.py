"""One seed: build a world, tell it a story, heal it, and hold it to the laws."""

from __future__ import annotations

from collections.abc import Callable

from sojourn.testing.clock import simulate
from tests.sim.scenarios import SCENARIOS, beat_rule
from tests.sim.world import World

MakeWorld = Callable[[int], World]


def run_seed(name: str, seed: int, make: MakeWorld = World) -> World:
    """Run scenario `name` under `seed`; the world as it was left.

    Raises:
        AssertionError: a law was broken.
    """

    async def story() -> World:
        world = make(seed)
        await world.furnish(beat=beat_rule(name, seed))
        await SCENARIOS[name](world)
        await world.heal()
        world.laws.when_quiet()
        return world

    return simulate(seed, story())
