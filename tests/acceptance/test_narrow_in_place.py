"""A live session loses a right inside an open connection, at a guard, and by going on to a phase."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import asyncpg
import pytest

from sojourn.client.jsonfacts import text
from sojourn.client.session import LiveSession
from sojourn.core.errors import SojournError
from tests.acceptance.books import Books, grant_books, new_books
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import ACTION, API_GRANT, AUDIENCE, System, running

GONE_WITHIN_S = 1.0
WRITE, READ = "INSERT INTO books.lines (line) VALUES ('x')", "SELECT count(*) FROM books.lines"
GRANT = "books-writer"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A control plane with books to write to, and a lesser way to have them."""
    with running(postgres) as system:
        books = new_books(system)
        books.prepare()
        _add(books)
        books.preflight()
        yield system


def _add(books: Books) -> None:
    writer = books.template()
    table = {"schema": "books", "name": "lines", "privileges": ["SELECT"]}
    body = {"name": books.target, "provider": "postgresql", "settings": {}, "secret": books.dsn()}
    templates = {"writer": writer, "reader": {**writer, "tables": [table]}}
    books.system.operator.ask("POST", "/v1/targets", {**body, "templates": templates})


async def _connect(system: System, live: LiveSession) -> asyncpg.Connection:
    (credential,) = live.credentials
    place = credential.connection
    return await asyncpg.connect(
        host=place["host"],
        port=int(place["port"]),
        user=place["user"],
        database=place["database"],
        password=credential.secret.reveal(),
    )


async def _refused_after(connection: asyncpg.Connection, began: float) -> float:
    while time.monotonic() - began < 10:
        try:
            await connection.execute(WRITE)
        except asyncpg.InsufficientPrivilegeError:
            return time.monotonic() - began
    raise AssertionError("the right was never lost")


def test_an_open_connection_loses_the_right_within_a_second_and_reads_on(system: System) -> None:
    grant_books(system)
    live = system.open("lower", grants=[GRANT, API_GRANT])

    async def story() -> float:
        connection = await _connect(system, live)
        await connection.execute(WRITE)
        began = time.monotonic()
        await asyncio.to_thread(lambda: live.narrow(lower={GRANT: "reader"}))
        took = await _refused_after(connection, began)
        assert await connection.fetchval(READ) >= 1
        await connection.close()
        return took

    took = asyncio.run(story())

    print(f"the right was gone {took:.3f} s after it was given up")
    assert took <= GONE_WITHIN_S
    (lease,) = system.leases(live.id)
    assert until(lambda: system.leases(live.id)[0]["narrowing"] is None, within_s=5)
    assert lease["template"] == "reader"
    with pytest.raises(SojournError, match="not_narrower"):
        live.narrow(lower={GRANT: "writer"})


def test_a_workflow_step_that_is_over_takes_its_api_along(system: System) -> None:
    grants = {
        GRANT: {"target": "books", "template": "writer"},
        API_GRANT: {"audience": AUDIENCE, "actions": [ACTION]},
    }
    phases = [{"name": "import", "grants": [GRANT, API_GRANT]}, {"name": "report", "grants": [GRANT]}]
    system.apply_charter(grants=grants, phases=phases)
    live = system.open("phase")
    assert live.token_for(AUDIENCE) is not None

    view = live.phase("report")

    assert text(view.raw, "phase") == "report" and live.token_for(AUDIENCE) is None
    assert [one["name"] for one in view.raw["grants"]] == [GRANT]  # type: ignore[attr-defined]
    with pytest.raises(SojournError, match="would_widen"):
        live.phase("import")
    entry = system.caller(system.add_client("listener", "guard", audience=AUDIENCE))
    page = entry.ask("POST", "/v1/feed", {"mark": None}, wait_s=5).json()
    assert {"kind": "session", "id": live.id, "min_gen": 2}.items() <= page["entries"][-1].items()  # type: ignore[index]
