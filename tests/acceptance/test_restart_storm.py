"""A server that starts with thousands of destructions due serves at once, and ends go first.

A third of the credentials are gone already. One target accepts connections and never answers,
one answers half a minute late; neither holds up the healthy ones, and nothing in them is ever
called gone.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.acceptance.books import Books, new_books
from tests.acceptance.storm import Due, make_roles, write_due
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import API_GRANT, System, running

READY_WITHIN_S = 5.0
ENDS_WITHIN_S = 1.0
LATE_S = 30.0


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@contextmanager
def late(port: int) -> Iterator[int]:
    """A port that passes everything on to `port`, `LATE_S` later."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        taking = threading.Thread(target=_take, args=(listener, port, over), daemon=True)
        taking.start()
        yield listener.getsockname()[1]
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        taking.join(5)


def _take(listener: socket.socket, port: int, over: threading.Event) -> None:
    with ThreadPoolExecutor(64) as links:
        while not over.is_set():
            try:
                near, _ = listener.accept()
            except OSError:
                return
            links.submit(_link, near, port, over)


def _link(near: socket.socket, port: int, over: threading.Event) -> None:
    """Every message waits its time; the client has given up by then, as a client does."""
    with near, socket.create_connection(("127.0.0.1", port), timeout=5) as far:
        near.settimeout(LATE_S)
        try:
            while asked := near.recv(65536):
                if over.wait(LATE_S):
                    return
                far.sendall(asked)
                near.sendall(far.recv(65536))
        except OSError:
            return


class Storm:
    """A system with four targets, and everything that is due in them."""

    def __init__(self, system: System, due: int, ports: tuple[int, int]) -> None:
        self.system = system
        self.books = [new_books(system, name) for name in ("healthy-1", "healthy-2", "hole", "late")]
        for books, port in zip(self.books, (None, None, *ports), strict=True):
            books.prepare()
            books.add(port=port)
        system.kill()
        share = due // 4
        self.due: list[Due] = write_due(system, {books.target: share for books in self.books})
        for books, one in zip(self.books, self.due, strict=True):
            make_roles(system, books.admin, one.handles[: 2 * share // 3])  # a third is gone already

    @property
    def healthy(self) -> list[Books]:
        return self.books[:2]

    def left(self, books: Books) -> int:
        """How many roles of a target are there, asked as the superuser."""
        due = self.due[self.books.index(books)]
        listed = ", ".join(f"'{handle}'" for handle in due.handles)
        return int(self.system.postgres.sql(f"SELECT count(*) FROM pg_roles WHERE rolname IN ({listed})"))

    def living_leases(self) -> int:
        """How many roles the healthy targets still have."""
        return sum(self.left(books) for books in self.healthy)


def start(storm: Storm) -> float:
    """Seconds from the start of the process to its being ready."""
    began = time.monotonic()
    storm.system.start()
    return time.monotonic() - began


def ends_meanwhile(storm: Storm) -> list[float]:
    """How long kills take while the healthy targets are drained, in seconds."""
    took: list[float] = []

    def drained() -> bool:
        live = storm.system.open(f"storm-{len(took)}", grants=[API_GRANT])
        began = time.monotonic()
        storm.system.end(live.id)
        took.append(time.monotonic() - began)
        return storm.living_leases() == 0

    until(drained, within_s=600)
    return took


def weathered(postgres: PostgresServer, due: int) -> None:
    """Start into the storm and hold everything that is promised."""
    with running(postgres) as system, black_hole() as hole, late(postgres.port) as tardy:
        storm = Storm(system, due, (hole, tardy))
        ready_s = start(storm)
        began = time.monotonic()
        took = ends_meanwhile(storm)
        rate = due // 2 / (time.monotonic() - began)
        worst = statistics.quantiles(took, n=100, method="inclusive")[98]
        print(
            f"{due} due: ready in {ready_s:.1f} s, {rate:.0f}/s drained, {len(took)} ends, p99 {worst:.3f} s"
        )

        assert ready_s <= READY_WITHIN_S
        assert worst <= ENDS_WITHIN_S
        for books, one in zip(storm.books, storm.due, strict=True):
            if books in storm.healthy:
                until(lambda one=one: _ended(system, one), within_s=60)  # type: ignore[misc]
        for books in storm.books[2:]:
            assert storm.left(books) == due // 4 * 2 // 3
            assert _states(system, storm.due[storm.books.index(books)]) == {"destroying"}


def _ended(system: System, due: Due) -> bool:
    return system.look(due.sessions[-1]).state == "ended" and system.look(due.sessions[0]).state == "ended"


def _states(system: System, due: Due) -> set[object]:
    return {lease["state"] for session in due.sessions[:20] for lease in system.leases(session)}


@pytest.mark.timed
@pytest.mark.timeout(180)
def test_a_thousand_due_destructions_hold_up_nothing(postgres: PostgresServer) -> None:
    weathered(postgres, 1000)


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.timeout(1200)
def test_ten_thousand_due_destructions_hold_up_nothing(postgres: PostgresServer) -> None:
    weathered(postgres, 10_000)
