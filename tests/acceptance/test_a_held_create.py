"""A CREATE that is held back on the way until its session is long over leaves nothing behind.

Fifty at once, each in a target of its own behind one proxy. The one message that makes the
role is held past the fence and then delivered: the target itself refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from sojourn.client.jsonfacts import Json, members, text
from sojourn.client.session import Wish, open_session
from sojourn.core.errors import SojournError
from sojourn.core.window import parse
from tests.acceptance.books import GRANT, Books, grant_books, new_books
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.proxy import Proxy, ProxyThread, Rule
from tests.rig.system import Plan, System, running

TRIALS: Final = 50
FENCE_S: Final = 1.0
_SIDE_BY_SIDE: Final = 8  # preflights; the trials themselves all run at once
_MESSAGE: Final = b"EXECUTE format('CREATE ROLE"  # in the one statement that has the effect


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server with room for the admins of fifty targets."""
    server = PostgresServer(settings=("max_connections=400",))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[ProxyThread]:
    """Stands before the target."""
    thread = ProxyThread(postgres.port)
    thread.start()
    yield thread
    thread.stop()


@pytest.mark.timeout(180)
def test_a_create_held_past_its_session_leaves_no_orphan(
    postgres: PostgresServer, proxy: ProxyThread
) -> None:
    hold_and_judge(postgres, proxy.proxy, held_s=5.0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_create_held_for_half_a_minute_leaves_no_orphan(
    postgres: PostgresServer, proxy: ProxyThread
) -> None:
    hold_and_judge(postgres, proxy.proxy, held_s=30.0)


def hold_and_judge(postgres: PostgresServer, proxy: Proxy, *, held_s: float) -> None:
    """Fifty trials at once: open, hold, kill, let go; then look."""
    with running(postgres, Plan(settings={"issue_fence": FENCE_S})) as system:
        one = new_books(system)
        one.prepare()
        every = [replace(one, target=f"books-{number}") for number in range(TRIALS)]
        in_parallel([ready(books, proxy.port) for books in every], workers=_SIDE_BY_SIDE)
        grant_books(system, [books.target for books in every])
        proxy.rules += [Rule(_MESSAGE, hold_seconds=held_s) for _ in every]

        with openings(system) as opened:
            sessions = until(lambda: waiting(system, proxy), within_s=30)
            for session in sessions:
                system.end(session)
            ended = [system.look(session, until_ended_s=25) for session in sessions]
            # What was held arrives only now, when nobody waits for it any more.
            until(lambda: proxy.delivered == TRIALS, within_s=held_s + 20)
            until(lambda: len(proxy.errors) >= TRIALS, within_s=20)

        judge(system, opened, [view.raw for view in ended], sum(b"SJ001" in e for e in proxy.errors))


def judge(system: System, refused: list[str], ended: list[Json], too_late: int) -> None:
    """No role, no open session, no lease written off before its fence."""
    leases = [members_of(system, text(session, "id")) for session in ended]
    waits = [
        (fell(lease) - requested(s)) / timedelta(seconds=1) for s, lease in zip(ended, leases, strict=True)
    ]
    print(
        f"{len(ended)} sessions; destroyed {min(waits):.2f} to {max(waits):.2f} s after they were asked for"
    )
    print(f"{too_late} CREATEs arrived and were refused by the target's own clock; openings: {set(refused)}")

    assert system.roles() == []
    assert len(ended) == TRIALS and all(session["state"] == "ended" for session in ended)
    assert min(waits) >= FENCE_S
    assert too_late == TRIALS
    assert len(refused) == TRIALS and "opened" not in refused


def ready(books: Books, port: int) -> Callable[[], None]:
    """Makes one target ready; its admin comes through the proxy, its workload would not have to."""

    def work() -> None:
        books.add(port=port, settings={"issue_seconds": FENCE_S})
        books.preflight()

    return work


@contextmanager
def openings(system: System) -> Iterator[list[str]]:
    """Fifty openings under way, each for the grant of a target of its own; how each was answered."""
    answers: list[str] = []

    def one(number: int) -> None:
        wish = Wish("demo", f"held-{number}", [f"{GRANT}-{number}"])
        try:
            open_session(system.workload, wish, transport=system.transport)
        except SojournError as error:
            answers.append(error.code)
        else:
            answers.append("opened")

    with ThreadPoolExecutor(TRIALS) as pool:
        running_now = [pool.submit(one, number) for number in range(TRIALS)]
        yield answers
        for each in running_now:
            each.result(timeout=60)


def waiting(system: System, proxy: Proxy) -> list[str]:
    """The sessions, once every CREATE is held on its way."""
    if not all(rule.used for rule in proxy.rules):
        return []
    listed = system.operator.ask("GET", "/v1/sessions?limit=200").json()
    found = [text(session, "id") for session in members(listed, "sessions")]
    return found if len(found) == TRIALS else []


def in_parallel(work: list[Callable[[], None]], *, workers: int) -> None:
    """Do all of it; the first failure is raised."""
    with ThreadPoolExecutor(workers) as pool:
        for each in [pool.submit(one) for one in work]:
            each.result(timeout=120)


def members_of(system: System, session: str) -> Json:
    """The only lease of a session."""
    (lease,) = system.leases(session)
    return lease


def fell(lease: Json) -> datetime:
    """When it was destroyed."""
    return parse(text(lease, "destroyed_at"))


def requested(session: Json) -> datetime:
    """When the session was asked for."""
    return parse(text(session, "requested_at"))
