"""Killed before any effect of an issue or of an end, the product takes back what was given.

An effect is a system call that reaches the disk or the network. A run without a kill counts
them; then a life is killed before the first, the second, and so on, and a fresh process
recovers after each.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.crash.conftest import Dig
from tests.rig.grave import Answer, Grave

POINTS = 5  # of each phase on each store: 20 in all
SPARE = 3  # the threads' turns differ, so that a run may have a few effects less than counted


def killed_at(grave: Grave, phase: str, number: int) -> Answer:
    """A life that was killed before its effect `number`, recovered and judged."""
    trace = grave.ask("live", phase=phase, kill=number)
    last = trace["calls"][-1] if trace["calls"] else "nothing"
    store = "postgres" if grave.place.store_dsn else "sqlite"
    told = grave.judge(f"{store}: {phase} killed before effect {number}, `{last}`; it said {trace['words']}")
    said = [word.split()[1] for word in trace["words"] if word.startswith("leaving")]
    assert all(told["sessions"][session] == "completed" for session in said)
    return trace


def counted(grave: Grave, phase: str) -> list[str]:
    """The effects of one life that is not killed."""
    grave.require_tracing()
    while True:
        life = grave.ask("live", phase=phase, kill=None)
        grave.judge(f"{phase} without a kill; it said {life['words']}")
        if not life["words"][-1].startswith("refused"):
            calls: list[str] = life["calls"]
            return calls


def surely_killed_at(grave: Grave, phase: str, number: int) -> Answer:
    """As `killed_at`, somewhat earlier if the phase was over before that many effects."""
    while not (trace := killed_at(grave, phase, number))["killed"]:
        number = max(number - SPARE, 1)
    return trace


def killed_at_five_places(grave: Grave, phase: str) -> str:
    """From the first effect of a phase to its last; what was done, for the report."""
    effects = len(counted(grave, phase))
    last = effects - SPARE
    places = sorted({1 + (last - 1) * step // (POINTS - 1) for step in range(POINTS)})
    traces = [surely_killed_at(grave, phase, number) for number in places]
    assert len(traces) == POINTS
    done = {"sqlite": not grave.place.store_dsn, "phase": phase, "effects": effects}
    return json.dumps({**done, "killed before": [trace["kill_at"] for trace in traces]})


@pytest.mark.timeout(180)
@pytest.mark.parametrize("phase", ["issue", "end"])
def test_nothing_survives_a_kill_at_five_places_on_each_store(dig: Dig, phase: str) -> None:
    graves = [dig("sqlite"), dig("postgres")]

    with ThreadPoolExecutor() as both:  # most of a recovery is waiting for deadlines
        reports = list(both.map(lambda grave: killed_at_five_places(grave, phase), graves))

    assert len(reports) == 2
    print("\n".join(reports))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("phase", ["issue", "end"])
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_nothing_survives_a_kill_at_any_effect(dig: Dig, store: str, phase: str) -> None:
    grave = dig(store)
    least = (
        min(len(counted(grave, phase)) for _ in range(3)) * 3 // 4
    )  # lives differ when the machine is busy
    began, number, survived = time.monotonic(), 0, 0

    while survived < 2:  # two lives that ended before they could be killed: the phase is through
        number += 1
        survived += not killed_at(grave, phase, number)["killed"]

    assert number - survived >= least
    took = time.monotonic() - began
    print(json.dumps({"store": store, "phase": phase, "points": number - survived, "seconds": round(took)}))
