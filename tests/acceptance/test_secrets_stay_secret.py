"""Every secret is a canary: after a whole life at debug level, none stands where it should not.

Searched as it is, quoted, in hex and in base64. What is searched is shown to hold something:
a life that left no traces would prove nothing.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator, Mapping
from typing import Final, Literal, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sojourn.core.errors import SojournError
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
    assert {place: hits for place, content in places.items() if (hits := canaries.found_in(content, but=but))} == {}


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


def test_an_error_never_repeats_what_was_sent_as_a_secret(postgres: PostgresServer) -> None:
    canaries, answers = Canaries(), {}
    system = LoudSystem(postgres, Plan())
    try:
        system.start()
        system.enrol()
        for number, (method, path, headers, body) in enumerate(hostile(canaries)):
            answers[f"{number} {method} {path}"] = ask(f"{system.issuer}{path}", method, headers, body)
        for number, bad in enumerate(bad_targets(canaries)):
            answers[f"target {number}"] = refused_target(system, bad)
        system.program.stop()
        log = system.program.log.read_bytes()
    finally:
        system.close()

    assert all(content[:1] == b"{" for content in answers.values()), answers
    silent(canaries, answers)
    silent(canaries, {"log: server": log})


def fresh(canaries: Canaries, name: str) -> str:
    """A new secret that is watched for."""
    value = f"canary-{secrets.token_urlsafe(24)}"
    canaries.add(f"{name} {len(canaries.values)}", value)
    return value


def hostile(canaries: Canaries) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Requests that are wrong in ways that tempt a server to quote them."""
    json_type = {"Content-Type": "application/json"}
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}
    key = {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}
    yield "POST", "/v1/login", json_type, json.dumps({"link": fresh(canaries, "link"), "jwk": key}).encode()
    yield "POST", "/v1/login", json_type, json.dumps({"link": [fresh(canaries, "link")], "jwk": key}).encode()
    private = {**key, "d": fresh(canaries, "private key")}
    yield "POST", "/v1/login", json_type, json.dumps({"link": "x", "jwk": private}).encode()
    yield "POST", "/v1/login", json_type, f'{{"link": "{fresh(canaries, "link")}", "jwk"'.encode()
    for scheme in ("Bearer", "DPoP", "Basic", ""):
        yield "GET", "/v1/sessions", {"Authorization": f"{scheme} {fresh(canaries, 'token')}"}, b""
    token = f"{fresh(canaries, 'token')}.{fresh(canaries, 'token')}.{fresh(canaries, 'token')}"
    yield "GET", "/v1/sessions", {"Authorization": f"DPoP {token}", "DPoP": fresh(canaries, "proof")}, b""
    yield "GET", f"/v1/sessions?access_token={fresh(canaries, 'token')}", {}, b""
    form = f"grant_type=client_credentials&client_assertion={fresh(canaries, 'assertion')}"
    yield "POST", "/oauth2/token", form_type, form.encode()
    form = f"grant_type={fresh(canaries, 'misplaced')}&client_secret={fresh(canaries, 'client secret')}"
    yield "POST", "/oauth2/token", {**form_type, "DPoP": fresh(canaries, "proof")}, form.encode()
    evidence = {"type": "private_key_jwt", "assertion": fresh(canaries, "assertion")}
    opening = {"evidence": evidence, "task": {"kind": "demo", "ref": "1"}}
    yield "POST", "/v1/sessions", json_type, json.dumps(opening).encode()
    yield "POST", "/v1/sessions", {**json_type, "DPoP": fresh(canaries, "proof")}, json.dumps(opening).encode()
    wrong = {**opening, "evidence": {"type": "private_key_jwt", "assertion": {"x": fresh(canaries, "jwt")}}}
    yield "POST", "/v1/sessions", json_type, json.dumps(wrong).encode()


def bad_targets(canaries: Canaries) -> Iterator[dict[str, object]]:
    """Targets whose secret is not a DSN that would do."""
    good: dict[str, object] = {"name": "bad", "provider": "postgresql", "settings": {}, "templates": {}}
    word = lambda: fresh(canaries, "DSN")  # noqa: E731
    yield {**good, "secret": word()}
    yield {**good, "secret": f"postgresql://me:{word()}@127.0.0.1:notaport/db"}
    yield {**good, "secret": f"postgresql://me:{word()}@[::1/db"}
    yield {**good, "secret": f"postgresql://me:{word()}@127.0.0.1/db?password={word()}"}
    yield {**good, "secret": f"mysql://me:{word()}@127.0.0.1/db"}
    yield {**good, "secret": [f"postgresql://me:{word()}@127.0.0.1/db"]}
    yield {**good, "secret": f"postgresql://me:{word()}@127.0.0.1/db", "provider": "none"}
    yield {**good, "secret": f"postgresql://me:{word()}@127.0.0.1/db", "more": True}
    yield {**good, "secret": f"postgresql://me:{word()}@127.0.0.1/db", "templates": {"x": {"y": 1}}}
    yield {**good, "secret": f"postgresql://me:{word()}@127.0.0.1/db" + "x" * 5000}


def ask(url: str, method: str, headers: dict[str, str], body: bytes) -> bytes:
    """The body of the refusal."""
    try:
        with urlopen(Request(url, body or None, headers, method=method), timeout=10) as answer:
            raise AssertionError(f"{url} was answered with {answer.status}")
    except HTTPError as error:
        return error.read()


def refused_target(system: System, body: dict[str, object]) -> bytes:
    """The words of the refusal, as an operator gets them."""
    try:
        system.operator.ask("POST", "/v1/targets", body)
    except SojournError as error:
        return b"{" + f"{error.code}: {error.message}".encode()
    raise AssertionError("it was accepted")
