"""Two nodes over one PostgreSQL: what one of them held when it died, the other soon takes over."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.acceptance.books import GRANT, grant_books, new_books
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.program import Program, free_port
from tests.rig.proxy import ProxyThread
from tests.rig.system import Plan, System, running

HOLD_S = 1.0
SETTINGS = {"issue_fence": 1.0, "hold_errand": HOLD_S}
SOON_S = HOLD_S + 1.0 + 3.0  # the hold, a look each second, and the work itself on a busy machine


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[ProxyThread]:
    """Stands before the target."""
    thread = ProxyThread(postgres.port)
    thread.start()
    yield thread
    thread.stop()


@pytest.mark.timeout(120)
def test_what_a_killed_node_held_is_destroyed_by_the_other_within_its_hold(
    postgres: PostgresServer, proxy: ProxyThread
) -> None:
    with running(postgres, Plan(store="postgresql", settings=SETTINGS)) as system:
        books = new_books(system)
        books.prepare()
        books.add(port=proxy.proxy.port)
        books.preflight()
        grant_books(system)
        live = system.open(grants=[GRANT])
        proxy.proxy.stalled = True
        system.end(live.id)
        until(lambda: holder(system) == system.program.pid)

        with second_node(system) as other:
            renewed = held_until(system)
            until(lambda: held_until(system) > renewed + 2_000_000 * HOLD_S, within_s=10)
            kept = holder(system) == system.program.pid

            system.kill()
            killed_at = time.monotonic()
            until(lambda: holder(system) == other.pid, within_s=10)
            taken_after_s = time.monotonic() - killed_at
            proxy.proxy.stalled = False
            until(lambda: not system.roles(), within_s=20)

        print(f"taken over {taken_after_s:.2f} s after the kill; the hold is {HOLD_S} s")
        assert kept, "the other node took it although its holder lived"
        assert taken_after_s < SOON_S


def holder(system: System) -> int:
    """The process that holds the one errand there is; 0 when nobody does."""
    found = ask(system, "SELECT coalesce(split_part(held_by, ':', 2), '0') FROM errand")
    return int(found or 0)


def held_until(system: System) -> int:
    """When its hold ends, in microseconds since 1970."""
    return int(ask(system, "SELECT coalesce(held_until, 0) FROM errand") or 0)


def ask(system: System, query: str) -> str:
    """Ask the store, beside the control plane."""
    store = urlsplit((system.place / "dsn").read_text()).path.strip("/")
    return system.postgres.sql(query, store)


@contextmanager
def second_node(system: System) -> Iterator[Program]:
    """A second server with the same keys and the same database, on a port of its own."""
    port = free_port()
    config = system.place / "second.toml"
    first = (system.place / "sojourn.toml").read_text()
    config.write_text(first.replace(f'listen = "127.0.0.1:{system.port}"', f'listen = "127.0.0.1:{port}"'))
    command = [sys.executable, "-m", "tests.rig.control_plane_main", str(config), json.dumps(SETTINGS)]
    node = Program(command, system.place / "second.log")
    node.start()
    try:
        node.wait_for(f"http://127.0.0.1:{port}/readyz")
        yield node
    finally:
        node.stop()
        print(f"-- the second node\n{node.words()}")
