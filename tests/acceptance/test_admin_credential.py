"""The admin credential of a target is changed, or dies, while sessions live: no errand is lost."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sojourn.core.errors import SojournError
from sojourn.core.secret import Secret
from sojourn.providers.postgresql.scram import verifier
from tests.acceptance.books import GRANT, Books, grant_books, left_of, new_books, oid_of
from tests.acceptance.login import lets_in
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system without a target of its own to be written to yet."""
    with running(postgres) as system:
        yield system


@pytest.fixture
def books(system: System) -> Books:
    """A target of this test alone."""
    books = new_books(system, f"books-{secrets.token_hex(3)}")
    books.prepare()
    books.add()
    books.preflight()
    grant_books(system, (books.target,))
    return books


def changed_at_the_server(books: Books) -> Books:
    """The administrator has another password from now on, and its connections are gone."""
    other = replace(books, word=secrets.token_urlsafe(18))
    postgres = books.system.postgres
    postgres.sql(f"ALTER ROLE \"{books.admin}\" PASSWORD '{verifier(Secret(other.word), iterations=4096)}'")
    postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{books.admin}'")
    return other


def replace_credential(books: Books) -> int:
    """Tell the control plane; the number of the credential in use."""
    told = books.system.operator.ask(
        "POST", f"/v1/targets/{books.target}/credential", {"secret": books.dsn()}, wait_s=45
    ).json()
    number = told["secret_number"]
    assert isinstance(number, int)
    return number


def test_a_destroy_that_the_target_refuses_goes_on_with_the_new_credential(
    system: System, books: Books
) -> None:
    live = system.open("rotated", grants=[GRANT])
    oid = oid_of(system, live.credentials[0].connection["user"])
    other = changed_at_the_server(books)

    system.end(live.id)
    until(lambda: system.leases(live.id)[0]["state"] == "destroying")
    assert left_of(system, [oid]) == 1
    assert replace_credential(other) == 2

    assert system.look(live.id, until_ended_s=25).state == "ended"
    assert left_of(system, [oid]) == 0


def test_sessions_open_and_end_on_either_side_of_a_replacement(system: System, books: Books) -> None:
    before = system.open("before", grants=[GRANT])
    other = changed_at_the_server(books)
    replace_credential(other)

    after = system.open("after", grants=[GRANT])
    assert lets_in(before.credentials[0]) and lets_in(after.credentials[0])
    for live in (before, after):
        system.end(live.id)
    assert {system.look(live.id, until_ended_s=20).state for live in (before, after)} == {"ended"}


def test_a_credential_that_the_target_does_not_take_changes_nothing(system: System, books: Books) -> None:
    with pytest.raises(SojournError) as refused:
        replace_credential(replace(books, word="not-the-word"))

    assert refused.value.code == "admin_login_refused"
    live = system.open("unchanged", grants=[GRANT])
    assert lets_in(live.credentials[0])
    live.complete()


def test_every_node_uses_the_new_credential_after_a_restart(system: System, books: Books) -> None:
    other = changed_at_the_server(books)
    replace_credential(other)

    system.restart()

    live = system.open("restarted", grants=[GRANT])
    assert lets_in(live.credentials[0])
    live.complete()
