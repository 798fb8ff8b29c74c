"""The same two libraries over mutual TLS (RFC 8705): both ways to authenticate, and bound tokens.

Each completes discovery, a session's token, exchange, introspection and revocation, as a client and
as a resource server; no key signs anything but certificates, and a child's introduction.
"""

from __future__ import annotations

import json
import secrets
import time
from functools import partial
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from joserfc import jwt
from joserfc.jwk import ECKey

from sojourn.core.binding import of_certificate
from tests.acceptance.mtls_resource import resource
from tests.acceptance.mtls_town import METHODS, Party, Town
from tests.acceptance.oauth_libraries import (
    ACCESS_TOKEN,
    EXCHANGE,
    JWT,
    OTHER,
    Library,
    Validator,
    discovered,
)
from tests.rig.certificates import Pair, make
from tests.rig.system import AUDIENCE


def asked(ref: str) -> str:
    return json.dumps([{"type": "sojourn_session", "task": {"kind": "demo", "ref": ref}}])


def introduce(parent: Pair, child: Pair, issuer: str) -> str:
    now = int(time.time())
    claims = {
        "sub": of_certificate(child.der),
        "aud": issuer,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(12),
    }
    header = {"typ": "sojourn-introduction+jwt", "alg": "ES256", "x5c": [parent.b64]}
    return jwt.encode(header, claims, ECKey.import_key(parent.key_pem.read_text()))


@pytest.mark.parametrize("method", METHODS)
def test_authlib_completes_everything_by_certificates(mtls: Town, method: str) -> None:
    runner, guard = mtls.parties["py", method], mtls.parties["py-guard", method]
    thief = Party(mtls, runner.client_id, make(mtls.folder, f"{method}-thief", by=mtls.authority))
    child = Party(mtls, runner.client_id, make(mtls.folder, f"{method}-child", by=mtls.authority))
    metadata = discovered(mtls.system.issuer, mtls.http())
    assert metadata["tls_client_certificate_bound_access_tokens"] is True
    assert method in metadata["token_endpoint_auth_methods_supported"]
    token_url = metadata["token_endpoint"]

    wish = {"authorization_details": asked("py"), "resource": AUDIENCE}
    opened = runner.token(token_url, grant_type="client_credentials", **wish)
    subject = {"subject_token": opened["access_token"], "subject_token_type": ACCESS_TOKEN}
    other = runner.token(token_url, grant_type=EXCHANGE, resource=OTHER, **subject)
    actor = introduce(runner.shown, child.shown, mtls.system.issuer)
    more = {"actor_token": actor, "actor_token_type": JWT, "scope": "stock.read"}
    born = child.token(token_url, grant_type=EXCHANGE, **more, **subject)
    for form, wrong in (
        ({"grant_type": "client_credentials", **wish}, "invalid_client"),
        ({"grant_type": EXCHANGE, **subject}, "invalid_request"),
    ):
        with pytest.raises(OAuthError) as refused:
            thief.token(token_url, **form)
        assert refused.value.error == wrong

    assert opened["token_type"] == other["token_type"] == born["token_type"] == "Bearer"
    validator = Validator(metadata, AUDIENCE, mtls.http())
    with resource(validator, mtls.server, [mtls.authority, runner.shown]) as place:

        def at(shown: Pair | None, value: dict[str, Any]) -> str | None:
            headers = {"Authorization": f"Bearer {value['access_token']}"}
            answer = mtls.http(shown).get(place, headers=headers, timeout=5)
            return str(answer.json()["sub"]) if answer.status_code == 200 else None

        assert at(runner.shown, opened) == at(child.shown, born) == runner.client_id
        assert not any((at(thief.shown, opened), at(None, opened), at(runner.shown, born)))
        assert at(runner.shown, other) is None, "it is for another audience"

    inspected = partial(guard.inspected, metadata["introspection_endpoint"])
    told, of_child = inspected(opened), inspected(born)
    assert told["active"] and told["cnf"] == {"x5t#S256": of_certificate(runner.shown.der).partition(":")[2]}
    assert of_child["act"]["act"]["sub"] == told["sid"]
    assert inspected(other) == {"active": False}, "a guard learns nothing of another audience"

    revoked = runner.http().revoke_token(metadata["revocation_endpoint"], opened["access_token"])

    assert revoked.status_code == 200
    assert inspected(opened) == inspected(born) == {"active": False}
    assert mtls.system.look(told["sid"]).leaving and mtls.system.look(of_child["sid"]).leaving


@pytest.mark.parametrize("method", METHODS)
def test_oauth4webapi_completes_everything_by_certificates(
    mtls: Town, npm_library: Library, method: str
) -> None:
    runner, guard = mtls.parties["js", method], mtls.parties["js-guard", method]
    other, child = (
        Party(mtls, runner.client_id, make(mtls.folder, f"{method}-js-{name}", by=mtls.authority))
        for name in ("other", "child")
    )
    plan = {
        "issuer": mtls.system.issuer,
        "ca": str(mtls.server.pem),
        "server": {"pem": str(mtls.server.pem), "key": str(mtls.server.key_pem)},
        "audiences": [AUDIENCE, OTHER],
        "grants": ["stock", "orders"],
        "client_id": runner.client_id,
        "own": runner.files(),
        "other": other.files(),
        "child": child.files(),
        "guard": guard.files(),
    }

    seen = npm_library.run("oauth4webapi_mtls.mjs", plan)

    assert seen["opened"]["token_type"] == seen["born"]["token_type"] == "bearer"
    assert seen["atResource"] == seen["atChild"] == runner.client_id
    assert all(seen[one].startswith("refused") for one in ("thief", "bare", "elsewhere")), seen
    assert seen["impostor"] == "OAUTH_WWW_AUTHENTICATE_CHALLENGE" and seen["stolen"] == "invalid_request"
    assert seen["before"]["cnf"] == {"x5t#S256": of_certificate(runner.shown.der).partition(":")[2]}
    assert seen["childBefore"]["act"]["act"]["sub"] == seen["before"]["sid"]
    assert seen["foreign"] == seen["after"] == seen["childAfter"] == {"active": False}
