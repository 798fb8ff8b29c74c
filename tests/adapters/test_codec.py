"""Rows as plain JSON and back: one spelling out, nothing but that spelling in."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sojourn.adapters.codec import decode, from_bytes, plain, shown, to_bytes
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Invalid
from sojourn.core.record import apply
from sojourn.core.session import Session, Task
from sojourn.core.window import show
from sojourn.ledger.canonical import canonical
from tests.rig.store import a_session

Bend = Callable[[dict[str, Any]], object]


def test_an_instant_is_spelled_as_everywhere_else() -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    zones = (UTC, timezone(timedelta(hours=-3, minutes=-30)), timezone(timedelta(hours=14)))
    for _ in range(2000):
        second = datetime(2000, 1, 1, tzinfo=chance.choice(zones)) + timedelta(
            seconds=chance.randrange(4 * 10**9)
        )
        for instant in (second, second + timedelta(microseconds=chance.randrange(10**6))):
            assert shown(instant) == show(instant)


def test_names_beyond_the_bmp_are_sorted_as_rfc_8785_says() -> None:
    told = {"\U0001f600": 1, "\uffff": 2, "größe": 3, "a": 4}

    assert to_bytes(told) == canonical(told)
    assert to_bytes({"größe": 1, "a": 2}) == canonical({"größe": 1, "a": 2})


@pytest.mark.parametrize("text", ["a", "größe", "\uffff", "\U0001f600", 'a"\\\U0001f600'])
def test_a_row_is_read_back_as_it_was_whatever_people_wrote_in_it(text: str) -> None:
    elder = "ses_0000000004000000000000000k"
    session = a_session(
        ancestors=(elder,),
        idle=timedelta(seconds=3),
        task=Task("demo", text),
        context={"note": text},
        cause=Cause(Reason.KILLED, "client:ada", text),
    )

    for free in (False, True):
        written = to_bytes(plain(session), free=free)
        assert decode(Session, from_bytes(written)) == session
        assert written == canonical(json.loads(written))


@pytest.mark.parametrize(
    "bend",
    [
        lambda row: row.update(later=1),
        lambda row: row["beat"].update(later=1),
        lambda row: row["grants"]["targets"][0].update(later=1),
        lambda row: row.update(renew_by="PT5S"),
        lambda row: row.update(renew_by=1.5),
        lambda row: row.update(last_end=1_700_000_000),
        lambda row: row.update(last_end="2026-11-02T09:00:00"),
        lambda row: row.update(last_end=None),
        lambda row: row.update(version=True),
        lambda row: row.update(generation=1.0),
        lambda row: row.update(state="unheard-of"),
        lambda row: row.update(ancestors="ses_1"),
        lambda row: row.update(window=[]),
        lambda row: row["window"].update(closes=row["window"]["opens"]),
        lambda row: row.pop("client"),
    ],
)
def test_what_we_did_not_write_is_refused(bend: Bend) -> None:
    row: dict[str, Any] = dict(from_bytes(to_bytes(plain(a_session()))))
    bend(row)

    with pytest.raises(Invalid):
        decode(Session, row)


def test_a_change_names_members_of_its_row() -> None:
    session = a_session()

    assert apply(session, {"version": 2, "generation": 7}) == a_session(version=2, generation=7)
    with pytest.raises(TypeError, match="unheard_of"):
        apply(session, {"version": 2, "unheard_of": 1})


def test_types_are_learned_by_one_thread_at_a_time() -> None:
    """In a process of its own: the library ends the whole process when two learn one type at once."""
    told = subprocess.run(
        [sys.executable, "-c", _LEARN_AT_ONCE], capture_output=True, text=True, timeout=50, check=False
    )

    assert (told.returncode, told.stdout) == (0, "read\n"), told.stderr[-2000:]


_LEARN_AT_ONCE = """
import sys
from dataclasses import make_dataclass
from threading import Barrier, Thread
from sojourn.adapters.codec import decode

sys.setswitchinterval(1e-6)
for number in range(60):
    kind = make_dataclass(f"K{number}_0", [(f"a{n}", int, 0) for n in range(10)], frozen=True, slots=True)
    for depth in range(1, 8):
        members = [("child", kind | None, None), *((f"a{n}", int, 0) for n in range(10))]
        kind = make_dataclass(f"K{number}_{depth}", members, frozen=True, slots=True)
    start = Barrier(6)
    threads = [Thread(target=lambda: (start.wait(), decode(kind, {"a1": 1}))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("read")
"""
