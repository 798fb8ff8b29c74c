"""Every scenario under many seeds; `scripts/sim` runs more, and runs one seed again."""

from __future__ import annotations

import os
from typing import Final

import pytest

from sojourn.core.record import FactKind
from tests.sim.mutants import MUTANTS
from tests.sim.run import run_seed
from tests.sim.scenarios import SCENARIOS

SEEDS: Final = int(os.environ.get("SOJOURN_SIM_SEEDS", "2000"))
"""In all; a scenario gets its share."""

PER_SCENARIO: Final = -(-SEEDS // len(SCENARIOS))
MUTANT_SEEDS: Final = 100


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_seed_breaks_a_law(name: str) -> None:
    for seed in range(PER_SCENARIO):
        try:
            run_seed(name, seed)
        except AssertionError as error:
            pytest.fail(
                f"scenario {name}, seed {seed}: {error}\nagain: scripts/sim {name} --seeds 1 --start {seed}"
            )


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_seed_tells_the_same_story_twice(name: str) -> None:
    first = run_seed(name, 7)
    second = run_seed(name, 7)

    assert first.trace() == second.trace()
    assert len(first.store.facts) > 5


def test_other_seeds_tell_other_stories() -> None:
    stories = {run_seed("crash_anywhere", seed).trace() for seed in range(10)}

    assert len(stories) > 5


def test_the_stories_reach_every_fact_of_sessions_and_leases() -> None:
    reached: set[str] = set()

    for name in SCENARIOS:
        for seed in range(12):
            reached |= run_seed(name, seed).laws.seen

    assert {kind for kind in FactKind if kind.startswith(("session.", "lease."))} <= reached


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_part_is_caught(mutant: str) -> None:
    make, scenario = MUTANTS[mutant]
    caught = []

    for seed in range(MUTANT_SEEDS):
        try:
            run_seed(scenario, seed, make)
        except AssertionError:
            caught.append(seed)
            break

    assert caught, f"{mutant} lived through {MUTANT_SEEDS} seeds of {scenario}"
