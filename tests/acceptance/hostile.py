"""Requests that are wrong in ways that tempt a server to quote them, each with a secret in it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from sojourn.core.errors import SojournError
from tests.acceptance.canaries import Canaries
from tests.rig.system import System


def refusals(system: System, canaries: Canaries) -> dict[str, bytes]:
    """What a running system answers to each."""
    answers = {}
    for number, (method, path, headers, body) in enumerate(hostile(canaries)):
        answers[f"{number} {method} {path.partition('?')[0]}"] = ask(
            f"{system.issuer}{path}", method, headers, body
        )
    for number, bad in enumerate(bad_targets(canaries)):
        answers[f"target {number}"] = refused_target(system, bad)
    return answers


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
    yield (
        "POST",
        "/v1/sessions",
        {**json_type, "DPoP": fresh(canaries, "proof")},
        json.dumps(opening).encode(),
    )
    wrong = {**opening, "evidence": {"type": "private_key_jwt", "assertion": {"x": fresh(canaries, "jwt")}}}
    yield "POST", "/v1/sessions", json_type, json.dumps(wrong).encode()


def bad_targets(canaries: Canaries) -> Iterator[dict[str, object]]:
    """Targets whose secret is not a DSN that would do."""
    good: dict[str, object] = {"name": "bad", "provider": "postgresql", "settings": {}, "templates": {}}

    def word() -> str:
        return fresh(canaries, "DSN")

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
