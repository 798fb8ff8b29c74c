"""Granted against used at a database that counts: after the end, and on record."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sojourn.client.session import LiveSession
from tests.acceptance.books import GRANT, grant_books, new_books
from tests.acceptance.login import lets_in
from tests.acceptance.shell import shell
from tests.rig.debian_postgres import counting_postgres
from tests.rig.system import System, running


@pytest.fixture(scope="module")
def counting() -> Iterator[System]:
    """A system whose target counts, and says so in its settings."""
    with counting_postgres() as server, running(server) as system:
        books = new_books(system)
        books.prepare()
        books.add(settings={"count_use": True})
        books.preflight()
        grant_books(system)
        yield system


def ended(system: System, live: LiveSession) -> str:
    system.end(live.id)
    assert system.look(live.id, until_ended_s=20).state == "ended"
    return live.id


def shown(system: System, session: str) -> str:
    with shell(system) as sojourn:
        done = sojourn("session", "usage", session)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_session_did_at_a_database_is_shown_and_on_record(counting: System) -> None:
    live = counting.open("used", grants=[GRANT])
    (credential,) = live.credentials
    assert lets_in(credential) and lets_in(credential)

    text = shown(counting, ended(counting, live))

    (lease,) = counting.leases(live.id)
    assert lease["used"] == {"calls": 2, "rows": 2}
    assert "2 statements, 2 rows" in text
    bundle = counting.operator.ask("GET", f"/v1/sessions/{live.id}/evidence").body
    assert b'"used":{"calls":2,"rows":2}' in bundle.replace(b" ", b"")


def test_a_grant_that_was_never_used_is_proposed_away(counting: System) -> None:
    live = counting.open("unused", grants=[GRANT])

    text = shown(counting, ended(counting, live))

    assert "0 statements, 0 rows" in text
    assert f'-    "{GRANT}": {{' in text, text
