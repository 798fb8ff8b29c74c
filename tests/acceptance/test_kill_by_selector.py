"""Killing an identity: refused at every guard at once, however many sessions it has."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sojourn.adapters.opened_store import open_sqlite
from sojourn.client.jsonfacts import Json, text
from sojourn.core import session as sessions
from sojourn.core.change import Change
from sojourn.core.errors import SojournError
from sojourn.core.ids import SessionId
from tests.rig.calls import Holder
from tests.rig.guards import GuardProgram, guards
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.store import a_session
from tests.rig.system import API_GRANT, AUDIENCE, System, running

REFUSED_WITHIN_S, ENDED_WITHIN_S = 1.0, 5.0
SHOWN = 8  # sessions that really call the guards

pytestmark = [pytest.mark.timed, pytest.mark.timeout(240)]


@pytest.fixture
def system(postgres: PostgresServer) -> Iterator[System]:
    """A control plane of its own."""
    with running(postgres) as system:
        yield system


def _seed(system: System, count: int) -> None:
    """Put `count` living sessions like one that was really opened on record while the server is down."""
    like = SessionId(system.open("like", grants=[API_GRANT]).id)

    async def write() -> None:
        store = await open_sqlite(system.place / "state" / "sojourn.sqlite3")
        opened = await store.session(like)
        assert opened is not None
        told = replace(opened, version=1, requested_at=datetime.now(UTC), status_list=None, status_index=None)
        for first in range(1, count, 500):
            made = (a_session(number) for number in range(first, min(first + 500, count)))
            rows = [replace(told, id=one.id, task=one.task) for one in made]
            await store.commit(Change(steps=tuple(sessions.request(row) for row in rows)))
        await store.close()

    system.program.stop()
    asyncio.run(write())
    system.start()


def _kill(system: System, count: int) -> tuple[float, float]:
    """Kill the workload's client; how long until every guard refused, and until all had ended."""
    _seed(system, count - SHOWN)
    with guards(system, 2) as listening:
        lives = [system.open(str(number), grants=[API_GRANT]) for number in range(SHOWN)]
        holders = [Holder.of(live, AUDIENCE) for live in lives]
        assert _answers(holders, listening) == {200}
        assert _order(system, dry_run=True)["total"] == count
        began = time.monotonic()
        ordered = _order(system)
        until(lambda: _answers(holders, listening) == {401}, within_s=10)
        refused = time.monotonic() - began
        done = until(lambda: _finished(system, text(ordered, "id")), within_s=60, every_s=0.05)
        took = time.monotonic() - began
        assert _answers(holders, listening) == {401}
    assert done is not None and done["ended"] == count and _order(system, dry_run=True)["total"] == 0
    print(f"{count} sessions: refused at {len(listening)} guards in {refused:.3f} s, ended in {took:.3f} s")
    return refused, took


def _answers(holders: Sequence[Holder], listening: Sequence[GuardProgram]) -> set[int]:
    return {_status(holder, guard.base) for holder in holders for guard in listening}


def _status(holder: Holder, base: str) -> int:
    url = f"{base}/stock"
    request = urllib.request.Request(url, headers=holder.headers("GET", url))
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _order(system: System, *, dry_run: bool = False) -> Json:
    body = {"kind": "client", "name": "runner", "detail": "a test", "dry_run": dry_run}
    return system.operator.ask("POST", "/v1/kills", body, wait_s=10).json()


def _finished(system: System, kill: str) -> Json | None:
    found = system.operator.ask("GET", f"/v1/kills/{kill}").json()
    return found if found["state"] == "finished" else None


def test_a_thousand_sessions_of_one_identity_are_refused_at_once(system: System) -> None:
    refused, took = _kill(system, 1000)

    assert refused <= REFUSED_WITHIN_S and took <= ENDED_WITHIN_S
    assert system.open("after", grants=[API_GRANT]).live, "what is opened afterwards is not concerned"


@pytest.mark.slow
def test_ten_thousand_sessions_are_refused_in_a_second_and_ended_in_five(system: System) -> None:
    refused, took = _kill(system, 10_000)

    assert refused <= REFUSED_WITHIN_S and took <= ENDED_WITHIN_S


def test_a_killed_server_goes_on_with_the_order_when_it_is_back(system: System) -> None:
    _seed(system, 4000)
    live = system.open("1", grants=[API_GRANT])
    ordered = _order(system)

    system.kill()
    system.start()

    done = until(lambda: _finished(system, text(ordered, "id")), within_s=30)
    assert done is not None and done["n"] and _order(system, dry_run=True)["total"] == 0
    with pytest.raises(SojournError, match="session_ended"):
        live.beat()
