"""Tokens of other issuers: what is taken, and that nothing a token says can widen it."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.jose import ForeignKey, read_foreign_keys, verify_foreign_token

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER, AUDIENCE = "https://issuer.example", "https://sojourn.example"
CLAIMS: Mapping[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "exp": AT + 60, "iat": AT, "sub": "job"}
KEYS: Mapping[str, Any] = {
    "rsa": RSAKey.generate_key(2048),
    "p256": ECKey.generate_key("P-256"),
    "p384": ECKey.generate_key("P-384"),
    "ed": OKPKey.generate_key("Ed25519"),
}
ALGORITHMS = {"rsa": ("RS256", "PS256"), "p256": ("ES256",), "p384": ("ES384",), "ed": ("EdDSA", "Ed25519")}
ALL = [alg for algs in ALGORITHMS.values() for alg in algs]


def _jwk(kid: str, **more: object) -> dict[str, object]:
    return {**KEYS[kid].as_dict(private=False), "kid": kid, "use": "sig", **more}


PUBLISHED = read_foreign_keys({"keys": [_jwk(kid) for kid in KEYS]})


def _signed(claims: Mapping[str, object], kid: str, alg: str, **header: object) -> str:
    registry = jws.JWSRegistry(algorithms=[*ALL, "HS256"], strict_check_header=False)
    return jws.serialize_compact(
        {"alg": alg, "kid": kid, **header}, json.dumps(claims), KEYS[kid], registry=registry
    )


def _verify(compact: str, *algorithms: str) -> Mapping[str, object]:
    return verify_foreign_token(
        compact, PUBLISHED, issuer=ISSUER, audience=AUDIENCE, algorithms=algorithms or ALL, now=NOW
    )


@pytest.mark.parametrize(("kid", "alg"), [(kid, alg) for kid, algs in ALGORITHMS.items() for alg in algs])
def test_each_algorithm_is_verified_and_only_when_it_is_allowed(kid: str, alg: str) -> None:
    compact = _signed(CLAIMS, kid, alg)

    assert _verify(compact, alg)["sub"] == "job"
    with pytest.raises(Unauthenticated) as refusal:
        _verify(compact, *(set(ALL) - {alg}))
    assert refusal.value.code == "bad_token"


def test_an_audience_in_a_list_counts_and_a_part_of_a_text_does_not() -> None:
    assert _verify(_signed({**CLAIMS, "aud": ["other", AUDIENCE]}, "rsa", "RS256"))
    with pytest.raises(Unauthenticated) as refusal:
        _verify(_signed({**CLAIMS, "aud": AUDIENCE + ".evil"}, "rsa", "RS256"))
    assert refusal.value.code == "wrong_audience"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exp": None}, "bad_token"),
        ({"exp": AT}, "expired"),
        ({"exp": True}, "bad_token"),
        ({"exp": str(AT + 60)}, "bad_token"),
        ({"nbf": AT + 6}, "bad_token"),
        ({"iat": AT + 6}, "bad_token"),
        ({"iss": ISSUER + "/"}, "bad_token"),
        ({"iss": [ISSUER]}, "bad_token"),
        ({"iss": None}, "bad_token"),
        ({"aud": None}, "wrong_audience"),
        ({"aud": {AUDIENCE: 1}}, "wrong_audience"),
        ({"sub": "\ud800"}, "bad_token"),
        ({"sub": "a\0"}, "bad_token"),
        ({"n": 10**21}, "bad_token"),
        ({"deep": [[[[[[[[[1]]]]]]]]]}, "bad_token"),
    ],
)
def test_a_signed_token_with_wrong_claims_is_refused(change: Mapping[str, object], code: str) -> None:
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not None}

    with pytest.raises(Unauthenticated) as refusal:
        _verify(_signed(claims, "rsa", "RS256"))

    assert refusal.value.code == code


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": 7},
        {"crit": ["b64"], "b64": True},
        {"b64": True},
        {"kid": "../../etc/passwd"},
        {"kid": None},
        {"kid": ["rsa"]},
    ],
)
def test_a_header_that_says_more_than_it_may_is_refused(header: Mapping[str, object]) -> None:
    head = {"alg": "RS256", "kid": "rsa", **header}
    signed = f"{_b64(head)}.{_b64(CLAIMS)}"
    signature = jws.JWSRegistry(algorithms=["RS256"]).get_alg("RS256").sign(signed.encode(), KEYS["rsa"])

    with pytest.raises(Unauthenticated):
        _verify(f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


def test_a_public_key_is_no_secret_for_a_symmetric_algorithm() -> None:
    public = KEYS["rsa"].as_pem(private=False)
    signed = f"{_b64({'alg': 'HS256', 'kid': 'rsa'})}.{_b64(CLAIMS)}"
    signature = hmac.digest(public, signed.encode(), "sha256")

    with pytest.raises(Unauthenticated):
        _verify(f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}", "RS256", "HS256")


def test_an_infinite_or_repeated_expiry_is_refused() -> None:
    for payload in (f'{{"exp":1e999,"iss":"{ISSUER}"}}', '{"exp":1,"exp":99999999999}', '{"exp":NaN}'):
        registry = jws.JWSRegistry(algorithms=["RS256"])
        compact = jws.serialize_compact(
            {"alg": "RS256", "kid": "rsa"}, payload, KEYS["rsa"], registry=registry
        )
        with pytest.raises(Unauthenticated) as refusal:
            _verify(compact)
        assert refusal.value.code == "bad_token"


def test_an_unknown_key_has_a_code_of_its_own() -> None:
    with pytest.raises(Unauthenticated) as refusal:
        verify_foreign_token(
            _signed(CLAIMS, "rsa", "RS256"),
            {},
            issuer=ISSUER,
            audience=AUDIENCE,
            algorithms=["RS256"],
            now=NOW,
        )
    assert refusal.value.code == "unknown_kid"


def test_a_key_that_names_its_algorithm_serves_for_no_other() -> None:
    keys = read_foreign_keys({"keys": [_jwk("rsa", alg="PS256")]})

    with pytest.raises(Unauthenticated):
        verify_foreign_token(
            _signed(CLAIMS, "rsa", "RS256"),
            keys,
            issuer=ISSUER,
            audience=AUDIENCE,
            algorithms=["RS256", "PS256"],
            now=NOW,
        )


def test_what_cannot_be_used_is_left_out_of_a_key_set() -> None:
    other = RSAKey.generate_key(2048).as_dict(private=False)
    weak = {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": "AQAB"}
    found = read_foreign_keys(
        {
            "keys": [
                _jwk("p256"),
                {**other, "kid": "twice"},
                {**_jwk("ed"), "kid": "twice"},
                _jwk("p384", use="enc"),
                weak,
                {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
                {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "k1"},
                {"kty": "RSA", "n": 5, "e": "AQAB", "kid": "number"},
                "no key",
            ]
        }
    )

    assert set(found) == {"p256"}


def test_a_trust_domains_keys_are_marked_for_its_tokens() -> None:
    found = read_foreign_keys(
        {"keys": [_jwk("rsa", use="jwt-svid"), _jwk("p256"), _jwk("ed", use="x509-svid")]}, use="jwt-svid"
    )

    assert set(found) == {"rsa"}


def test_a_private_key_and_an_endless_set_are_refused() -> None:
    with pytest.raises(Invalid):
        ForeignKey.from_jwk({**KEYS["p256"].as_dict(private=True)})
    with pytest.raises(Invalid):
        read_foreign_keys({"keys": [{**_jwk("p256"), "kid": str(n)} for n in range(201)]})


def _b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
