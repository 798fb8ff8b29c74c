"""Every kind of JWT at every place that takes one: each is let in where it belongs, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from joserfc import jws

from sojourn.jose import KINDS as ALL_KINDS
from tests.faces.samples import ISSUER
from tests.jose.corpus import KINDS, NOW, Surfaces, good

pytestmark = pytest.mark.anyio

AT = int(NOW.timestamp())
STATEMENTS: Mapping[str, tuple[str, str, Mapping[str, object]]] = {
    "introspection answer": (
        "token-introspection+jwt",
        "ES256",
        {"iss": ISSUER, "aud": "https://shop.example", "iat": AT, "token_introspection": {"active": False}},
    ),
    "status list": (
        "statuslist+jwt",
        "ES256",
        {"sub": ISSUER + "/status/1", "iat": AT, "exp": AT + 60, "status_list": {"bits": 2, "lst": "eNo"}},
    ),
    "event": (
        "secevent+jwt",
        "RS256",
        {"iss": ISSUER, "aud": "https://shop.example", "iat": AT, "jti": "e1", "events": {"urn:a": {}}},
    ),
}
HOME: Mapping[str, frozenset[str]] = {
    "access-token": frozenset({"guard, token"}),
    "client-token": frozenset({"api, token"}),
    "proof": frozenset({"guard, proof"}),
    # An assertion opens sessions too: both places take `private_key_jwt`.
    "assertion": frozenset({"token endpoint, assertion", "open, evidence"}),
    "foreign-token": frozenset({"foreign token"}),
    **{name: frozenset({name}) for name in STATEMENTS},
}


def _made(surfaces: Surfaces, kind: str) -> str:
    if kind in KINDS:
        return good(kind)
    typ, algorithm, claims = STATEMENTS[kind]
    if algorithm == "ES256":
        key = surfaces.keys["introspection"]
        return key.sign({"typ": typ, "kid": key.thumbprint}, claims)
    header = {"typ": typ, "alg": algorithm, "kid": "foreign"}
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jws.serialize_compact(header, json.dumps(claims), surfaces.rsa, registry=registry)


@pytest.mark.parametrize("kind", HOME)
async def test_a_kind_is_let_in_where_it_belongs_and_nowhere_else(kind: str) -> None:
    heard = {}
    for name in Surfaces().all():
        surfaces = Surfaces()  # a fresh one each time: what counts once was not seen before
        heard[name] = await surfaces.all()[name](_made(surfaces, kind))

    assert {name for name, code in heard.items() if code == "ok"} <= HOME[kind]
    assert any(heard[name] == "ok" for name in HOME[kind])


@pytest.mark.parametrize("kind", HOME)
@pytest.mark.parametrize("typ", sorted(kind.typ for kind in ALL_KINDS))
async def test_no_kind_is_taken_for_another_by_its_type_alone(kind: str, typ: str) -> None:
    """The claims of one kind under the type of another, signed by the key that signs either."""
    surfaces = Surfaces()
    claims = _claims(_made(surfaces, kind))
    if typ == _typ(_made(surfaces, kind)):
        return
    for name in ("ours", "client", "holder"):
        key = surfaces.keys[name]
        header: dict[str, object] = {"typ": typ, "kid": key.thumbprint}
        if typ == "dpop+jwt":
            header["jwk"] = dict(key.jwk)
        forged = key.sign(header, claims)
        for place, surface in surfaces.all().items():
            assert await surface(forged) != "ok", (place, name)


def _typ(compact: str) -> object:
    return _part(compact, 0).get("typ")


def _claims(compact: str) -> dict[str, object]:
    return _part(compact, 1)


def _part(compact: str, place: int) -> dict[str, object]:
    from base64 import urlsafe_b64decode

    read: dict[str, object] = json.loads(urlsafe_b64decode(compact.split(".")[place] + "=="))
    return read
