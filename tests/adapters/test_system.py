"""The clock, the entropy, the bell and the records of this machine."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sojourn.adapters.codec import decode, from_bytes, plain, to_bytes
from sojourn.adapters.high_water import HighWater
from sojourn.adapters.local_bell import LocalBell
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.core.errors import Invalid
from sojourn.core.session import Session
from sojourn.core.window import show
from sojourn.ledger.canonical import canonical
from sojourn.ports.store import Head
from tests.rig.store import a_session, a_target


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_now_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    first = clock.now()

    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert clock.now() == first
    assert first.tzinfo is UTC


def test_ids_rise_and_tokens_differ() -> None:
    entropy = SystemEntropy()

    ids = [entropy.uuid7() for _ in range(100)]

    assert ids == sorted(ids)
    assert {one.version for one in ids} == {7}
    assert len({entropy.token(16) for _ in range(100)}) == 100
    assert len(entropy.token(32)) == 43


@pytest.mark.anyio
async def test_the_bell_wakes_those_whose_number_has_passed() -> None:
    bell = LocalBell()
    first, second = (asyncio.create_task(bell.wait_beyond(n, 30)) for n in (4, 5))
    await asyncio.sleep(0)

    bell.ring(5)
    await first
    assert not second.done()
    bell.ring(6)
    await second
    await bell.wait_beyond(5, 30)
    await bell.wait_beyond(6, 0.01)


def test_the_high_water_never_falls(tmp_path: Path) -> None:
    mark = HighWater(tmp_path / "mark")
    assert mark.read() is None

    for head in (Head(1, 5, 2), Head(1, 4, 9), Head(2, 0, 0), Head(1, 99, 99)):
        mark.raise_to(head)

    assert mark.read() == Head(2, 0, 0)
    (tmp_path / "mark").write_text("?")
    with pytest.raises(Invalid):
        mark.read()


def test_a_record_comes_back_as_it_was() -> None:
    held = a_session(
        beat=a_session().beat, renew_by=timedelta(microseconds=1), ended_at=datetime.max.replace(tzinfo=UTC)
    )

    assert decode(Session, from_bytes(to_bytes(plain(held)))) == held


def test_instants_are_written_as_the_core_shows_them() -> None:
    for instant in (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, microsecond=7, tzinfo=UTC)):
        assert plain(instant) == show(instant)


@pytest.mark.parametrize("free", [False, True])
def test_records_are_written_as_rfc_8785_says(free: bool) -> None:
    names = {chr(n): chr(n) for n in (*range(128), 0xE9, 0x2028, 0xFFFD, 0x1F600)}
    members = {"text": names, "n": [0, -1, 2**53 - 1, True, None], "a": plain(a_target())}

    assert to_bytes(members, free=free) == canonical(members)
    assert json.loads(to_bytes({"x": 1e21}, free=True)) == {"x": 1e21}
    assert to_bytes({"x": 1e21}, free=True) == b'{"x":1e+21}'


@pytest.mark.parametrize(
    "change", [{"version": "1"}, {"version": True}, {"colour": "red"}, {"state": "lost"}, {"window": 5}]
)
def test_a_record_that_we_did_not_write_is_refused(change: dict[str, object]) -> None:
    members = {**plain(a_session()), **change}

    with pytest.raises(Invalid) as refusal:
        decode(Session, members)

    assert refusal.value.code == "bad_record"


def test_text_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(Invalid):
        to_bytes({"x": "\ud800"})
