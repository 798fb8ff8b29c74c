"""A CI job opens its session at the token endpoint, with nothing but its platform's token (RFC 7523)."""

from __future__ import annotations

import json
import secrets
from typing import Final
from urllib.parse import urlencode

import pytest

from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import Json, members, text
from sojourn.client.signing import Es256Key, sign_proof
from sojourn.core.errors import SojournError
from tests.rig.issuers.platforms import NAMES, Platforms
from tests.rig.system import ACTION, API_GRANT, AUDIENCE, System

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@pytest.fixture(scope="module")
def system(attested: System) -> System:
    """A system that knows every platform, and a charter for an API alone."""
    grants = {API_GRANT: {"audience": AUDIENCE, "actions": [ACTION]}}
    attested.apply_charter(name="call", clients=list(NAMES), grants=grants)
    return attested


def ask(system: System, evidence: Json, **details: str) -> Json:
    """The answer of the token endpoint to a platform's token."""
    url = system.transport.url("/oauth2/token")
    proof = sign_proof(Es256Key.generate(), "POST", url, EdgeClock().now(), jti=secrets.token_urlsafe(16))
    wish = {"type": "sojourn_session", "task": {"kind": "call", "ref": "1"}, "evidence": evidence["type"]}
    form = {
        "grant_type": GRANT,
        "assertion": text(evidence, "assertion"),
        "authorization_details": json.dumps([{**wish, **details}]),
    }
    headers = {"DPoP": proof, "Content-Type": "application/x-www-form-urlencoded"}
    return system.transport.send("POST", "/oauth2/token", headers, body=urlencode(form).encode()).json()


def test_a_platforms_token_opens_a_session_at_the_token_endpoint_once(
    system: System, platforms: Platforms
) -> None:
    _, github = platforms.job(system)
    evidence = dict(github.source.gather())

    told = ask(system, evidence, client="gh")
    with pytest.raises(SojournError, match="has had its session") as again:
        ask(system, evidence, client="gh")

    session = text(members(told, "authorization_details")[0], "identifier")
    view = system.look(session)
    assert (view.state, view.raw["attestor"], told["token_type"]) == ("active", "github_actions", "DPoP")
    assert again.value.code == "unauthorized_client"
    system.end(session)


def test_the_job_of_another_client_opens_nothing(system: System, platforms: Platforms) -> None:
    _, github = platforms.job(system)

    with pytest.raises(SojournError) as refused:
        ask(system, dict(github.source.gather()), client="gl")

    assert refused.value.code in ("bad_evidence", "invalid_grant", "invalid_client")
