"""Two OAuth libraries that are not ours, in two languages, against the real server.

Each completes discovery, a session's token, exchange, introspection and revocation, as a client
and as a resource server, bound by DPoP.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import ECKey

from sojourn.client.profile import Profile
from tests.acceptance.oauth_libraries import (
    ACCESS_TOKEN,
    EXCHANGE,
    JWT,
    OTHER,
    Library,
    Validator,
    discovered,
    grant_two_apis,
)
from tests.rig.postgres import PostgresServer
from tests.rig.system import AUDIENCE, System, running


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A server whose charter grants two guarded APIs and two generations of children."""
    with running(postgres) as system:
        grant_two_apis(system)
        yield system


@pytest.fixture(scope="module")
def guard(system: System) -> Profile:
    """The guard before the first API."""
    return system.add_client("stock-guard", "guard", audience=AUDIENCE)


class Dpop:
    """A key and the proofs it signs: what a client adds that knows RFC 9449."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256")

    def proof(self, method: str, url: str, *, token: str | None = None) -> dict[str, str]:
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": url,
            "iat": int(time.time()),
        }
        if token is not None:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        return {"DPoP": jwt.encode(header, claims, self.key)}

    def introduce(self, child: Dpop, issuer: str) -> str:
        now = int(time.time())
        claims = {
            "sub": child.key.thumbprint(),
            "aud": issuer,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(12),
        }
        header = {
            "typ": "sojourn-introduction+jwt",
            "alg": "ES256",
            "jwk": self.key.as_dict(private=False),
        }
        return jwt.encode(header, claims, self.key)


class Assertion(PrivateKeyJWT):  # type: ignore[misc]
    """Authlib's assertion as RFC 10070 wants it: typed, for the issuer alone, short, each good once."""

    def sign(self, auth: Any, token_endpoint: str) -> str:
        self.headers = {"typ": "client-authentication+jwt"}
        self.claims = {"exp": int(time.time()) + 60, "jti": secrets.token_urlsafe(12)}
        return str(super().sign(auth, token_endpoint))


def as_client(profile: Profile, issuer: str) -> OAuth2Session:
    key = ECKey.import_key(json.loads(profile.key.private_jwk().reveal()))
    session = OAuth2Session(
        profile.client_id,
        key,
        token_endpoint_auth_method="private_key_jwt",
        revocation_endpoint_auth_method="private_key_jwt",
    )
    session.register_client_auth_method(Assertion(issuer, alg="ES256"))
    return session


def asked(ref: str) -> str:
    return json.dumps([{"type": "sojourn_session", "task": {"kind": "demo", "ref": ref}}])


def test_authlib_completes_everything(system: System, guard: Profile) -> None:
    metadata = discovered(system.issuer)
    client, gate = as_client(system.workload, system.issuer), as_client(guard, system.issuer)
    holder, token_url = Dpop(), metadata["token_endpoint"]

    def token(dpop: Dpop, session: OAuth2Session, **form: str) -> dict[str, Any]:
        return dict(session.fetch_token(token_url, headers=dpop.proof("POST", token_url), **form))

    opened = token(
        holder, client, grant_type="client_credentials", authorization_details=asked("py"), resource=AUDIENCE
    )
    subject = {"subject_token": opened["access_token"], "subject_token_type": ACCESS_TOKEN}
    other = token(holder, client, grant_type=EXCHANGE, resource=OTHER, **subject)
    child = Dpop()
    born = token(
        child,
        client,
        grant_type=EXCHANGE,
        actor_token=holder.introduce(child, system.issuer),
        actor_token_type=JWT,
        scope="stock.read",
        **subject,
    )

    def inspected(value: dict[str, Any]) -> dict[str, Any]:
        answer = gate.introspect_token(metadata["introspection_endpoint"], value["access_token"])
        return dict(answer.json())

    resource = Validator(metadata, AUDIENCE)
    assert opened["token_type"] == born["token_type"] == "DPoP"
    assert resource.accepts(opened["access_token"]) and resource.accepts(born["access_token"])
    assert not resource.accepts(other["access_token"])
    told, of_child = inspected(opened), inspected(born)
    assert told["active"] and told["scope"] == "stock.read stock.write"
    assert told["cnf"]["jkt"] == holder.key.thumbprint()
    assert of_child["scope"] == "stock.read" and of_child["act"]["act"]["sub"] == told["sid"]
    assert inspected(other) == {"active": False}, "a guard learns nothing of another audience"

    revoked = client.revoke_token(metadata["revocation_endpoint"], opened["access_token"])

    assert revoked.status_code == 200
    assert inspected(opened) == inspected(born) == {"active": False}
    assert system.look(told["sid"]).leaving and system.look(of_child["sid"]).leaving


def test_oauth4webapi_completes_everything(system: System, guard: Profile, npm_library: Library) -> None:
    plan = {
        "issuer": system.issuer,
        "audiences": [AUDIENCE, OTHER],
        "grants": ["stock", "orders"],
        "workload": _party(system.workload),
        "guard": _party(guard),
    }

    seen = npm_library.run("oauth4webapi.mjs", plan)

    assert seen["discovered"] == [system.issuer] * 2 and seen["resource"] == system.issuer
    assert seen["atResource"] == seen["atSecond"] == system.workload.client_id
    assert seen["elsewhere"].startswith("refused") and seen["thief"].startswith("refused")
    assert seen["before"]["active"] and seen["child"]["act"]["act"]["sub"] == seen["before"]["sid"]
    assert seen["inSigned"] == seen["before"]
    assert seen["foreign"] == seen["after"] == seen["childAfter"] == {"active": False}
    assert seen["late"] == "invalid_request"


def _party(profile: Profile) -> dict[str, Any]:
    return {"client_id": profile.client_id, "jwk": json.loads(profile.key.private_jwk().reveal())}
