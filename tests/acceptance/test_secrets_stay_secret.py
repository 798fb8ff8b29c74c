"""Every secret is a canary: after a whole life at debug level, none stands where it should not.

Searched as it is, quoted, in hex and in base64. What is searched is shown to hold something:
a life that left no traces would prove nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Final, Literal, cast

import pytest

from tests.acceptance.canaries import Canaries, forms
from tests.acceptance.life import Life, live
from tests.rig.postgres import PostgresServer
from tests.rig.system import Plan, System

_LOUD: Final = (
    "log_statement=all",
    "log_min_duration_statement=0",
    "log_connections=on",
    "log_error_verbosity=verbose",
)


class LoudSystem(System):
    """A system that logs all there is."""

    def _command(self) -> list[str]:
        _, *rest = super()._command()
        return [sys.executable, *("tests.acceptance.debug_main" if "control_plane" in w else w for w in rest)]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server that logs every statement with its parameters."""
    server = PostgresServer(settings=_LOUD)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def life(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Life]:
    """A whole life on each store."""
    store = cast(Literal["sqlite", "postgresql"], request.param)
    system = LoudSystem(postgres, Plan(store=store))
    try:
        yield live(system)
    finally:
        system.close()


def silent(canaries: Canaries, places: Mapping[str, bytes], *, but: frozenset[str] = frozenset()) -> None:
    """No secret stands in any of these places."""
    assert {
        place: hits for place, content in places.items() if (hits := canaries.found_in(content, but=but))
    } == {}


@pytest.mark.timeout(120)
def test_the_logs_at_debug_level_hold_no_secret(life: Life) -> None:
    logs = life.under("log: ")

    assert b"DEBUG" in logs["log: server"] and life.session.encode() in logs["log: server"]
    assert b"CREATE ROLE" in logs["log: target"] and b"parameters" in logs["log: target"].lower()
    silent(life.canaries, logs)


def test_the_store_and_the_journal_hold_no_secret(life: Life) -> None:
    store = life.under("store: ")

    assert any(b"lease.destroyed" in content or b"destroyed" in content for content in store.values())
    silent(life.canaries, store)


def test_answers_numbers_and_bundles_hold_no_secret(life: Life) -> None:
    assert life.session.encode() in life.places["bundle"]
    assert b"sojourn" in life.places["public: /metrics"]

    silent(life.canaries, life.under("answer: "))
    silent(life.canaries, life.under("public: "))
    silent(life.canaries, life.under("bundle"))


def test_what_commands_print_holds_no_secret(life: Life) -> None:
    silent(life.canaries, life.under("command: "))


def test_arguments_and_environments_hold_no_secret(life: Life) -> None:
    assert any("server cmdline" in name for name in life.processes)

    silent(life.canaries, life.processes)


def test_only_the_command_that_asked_has_its_password_in_its_environment(life: Life) -> None:
    hits = life.canaries.found_in(life.told_child)

    assert hits and all(hit.startswith("password of asking (") for hit in hits)


def test_a_planted_secret_is_found_in_every_form(life: Life) -> None:
    log = life.places["log: server"]

    for name, value in life.canaries.values.items():
        for form, shape in forms(value):
            planted = log[:1000] + shape + log[1000:2000]
            assert any(hit.startswith(f"{name} (") for hit in life.canaries.found_in(planted)), (name, form)


def test_an_error_never_repeats_what_was_sent_as_a_secret(life: Life) -> None:
    refusals = life.under("refusal: ")

    assert len(refusals) > 20 and all(content[:1] == b"{" for content in refusals.values()), refusals
    silent(life.canaries, refusals)
