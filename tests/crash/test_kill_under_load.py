"""Killed at random moments with eight sessions in flight, nothing answered is lost."""

from __future__ import annotations

import json
import random

import pytest

from tests.crash.conftest import Dig

LONGEST_S = 1.2  # a few dozen openings and ends


def crashed(dig: Dig, store: str, kills: int) -> dict[str, int]:
    """`kills` lives under load, each begun on what the last one left; judged at the end."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    grave = dig(store, missed_after_s=2.0)
    said: list[list[str]] = []
    for number in range(kills):
        # However slow the machine, one life gets as far as to answer an end.
        heard = "gate" if number else "leaving"
        answer = grave.ask("load", seconds=chance.uniform(0.05, LONGEST_S), heard=heard)
        assert answer["status"] == 9, answer
        said += [word.split() for word in answer["words"] if word != "gate"]

    told = grave.judge(f"{store}: {kills} kills under load, seed {seed}")

    active = {session for verb, session in said if verb == "active"}
    leaving = {session for verb, session in said if verb == "leaving"}
    assert active <= told["sessions"].keys()
    assert {session: told["sessions"][session] for session in leaving} == dict.fromkeys(leaving, "completed")
    return {"kills": kills, "active": len(active), "leaving": len(leaving), "facts": told["facts"]}


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_five_kills_under_load_lose_nothing(dig: Dig, store: str) -> None:
    counts = crashed(dig, store, 5)

    assert counts["active"] and counts["leaving"], "the lives were too short to have answered anything"
    print(json.dumps({"store": store, **counts}))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_hundred_kills_under_load_lose_nothing(dig: Dig, store: str) -> None:
    counts = crashed(dig, store, 100)

    assert counts["leaving"] > counts["kills"]
    print(json.dumps({"store": store, **counts}))
