"""Bytes from strangers become claims here, or are refused with a stable code.

No other exception leaves. Which key may sign what is said by the caller, never by the token:
`jku`, `jwk` and `x5u` are not looked at, except the `jwk` of a proof, which is what a proof is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sojourn.core import proof, token
from sojourn.core.errors import Invalid, SojournError, Unauthenticated
from sojourn.core.token import AccessClaims
from sojourn.core.window import to_micros
from sojourn.jose.compact import Parts
from sojourn.jose.foreign import IssuerKey
from sojourn.jose.keys import VerifyKey
from sojourn.jose.kinds import ACCESS_TOKEN, CLIENT_ASSERTION, PROOF, Kind, open_as

ASSERTION_TYPE: Final = CLIENT_ASSERTION.typ
LONGEST_ASSERTION: Final = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A DPoP proof with a good signature; whether it fits the request is for `core.proof`."""

    thumbprint: str
    jwk: Mapping[str, str]
    claims: Mapping[str, object]

    def read(self) -> proof.Proof:
        """Its claims, each there and of its type."""
        return proof.read(self.thumbprint, self.claims)


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A verified `private_key_jwt` (RFC 7523); its `jti` is yet to be spent."""

    client_id: str
    jti: str
    issued_at: int
    expires_at: int


def verify_access_token(compact: str, keys: Mapping[str, VerifyKey]) -> AccessClaims:
    """Check kind and signature of a session's access token by the keys of its issuer (RFC 9068).

    Lifetime, audience and issuer are not judged here.

    Raises:
        Unauthenticated: code `unknown_kid`; no such key, perhaps not yet.
        Unauthenticated: code `bad_token`; anything else.
    """
    claims, kid = _signed_by_us(compact, keys)
    try:
        return replace(token.from_json(claims), signer=kid)
    except SojournError as error:
        raise Unauthenticated("bad_token", error.message) from error


def verify_client_token(compact: str, keys: Mapping[str, VerifyKey]) -> Mapping[str, object]:
    """The claims of a client's token for our own API, signed by one of `keys`; nothing else is judged.

    Raises:
        Unauthenticated: code `bad_token`.
    """
    try:
        return _signed_by_us(compact, keys)[0]
    except Unauthenticated as error:  # our own keys are all known: there is nothing to fetch
        raise Unauthenticated("bad_token", error.message) from error


def _signed_by_us(compact: str, keys: Mapping[str, VerifyKey]) -> tuple[Mapping[str, object], str]:
    parts = open_as(compact, ACCESS_TOKEN)
    kid = parts.header.get("kid")
    if not isinstance(kid, str):
        raise Unauthenticated("bad_token", "header `kid` is missing or not a string")
    key = keys.get(kid)
    if key is None:
        raise Unauthenticated("unknown_kid", "the token is signed by a key that is not known")
    if not key.verifies(parts.signed, parts.signature):
        raise Unauthenticated("bad_token", "the signature does not verify")
    return parts.claims, kid


def verify_statement(
    compact: str, keys: Mapping[str, IssuerKey], kind: Kind, *, issuer: str, audience: str | None = None
) -> Mapping[str, object]:
    """The claims of a signed introspection answer, status list or security event.

    A status list names no issuer: its keys say whose it is. Its lifetime is its reader's to judge.

    Raises:
        Unauthenticated: code `unknown_kid`, or `bad_statement` for anything else.
    """
    parts = open_as(compact, kind)
    key = keys.get(str(parts.header.get("kid")))
    if key is None:
        raise Unauthenticated("unknown_kid", "it is signed by a key that is not known")
    if not key.verifies(str(parts.header["alg"]), parts.signed, parts.signature):
        raise Unauthenticated(kind.code, "the signature does not verify")
    if "iss" in kind.required and parts.claims["iss"] != issuer:
        raise Unauthenticated(kind.code, "claim `iss` is not the issuer expected")
    named = parts.claims.get("aud")
    if audience is not None and named != audience and named != [audience]:
        raise Unauthenticated(kind.code, "it is meant for another audience")
    return parts.claims


def verify_proof(compact: str) -> VerifiedProof:
    """Check kind and signature of a DPoP proof by the key it carries (RFC 9449, section 4.3).

    Raises:
        Unauthenticated: code `bad_proof`.
    """
    parts = open_as(compact, PROOF)
    jwk = parts.header.get("jwk")
    if not isinstance(jwk, dict):
        raise Unauthenticated("bad_proof", "header `jwk` is missing or not an object")
    try:
        key = VerifyKey.from_jwk(jwk)
    except Invalid as error:
        raise Unauthenticated("bad_proof", error.message) from error
    if not key.verifies(parts.signed, parts.signature):
        raise Unauthenticated("bad_proof", "the signature does not verify")
    return VerifiedProof(key.thumbprint, key.jwk, parts.claims)


def open_client_assertion(compact: str) -> Parts:
    """An assertion taken apart, to be verified by the key of who it says it is from (`claimed_client`).

    Raises:
        Unauthenticated: code `bad_assertion`.
    """
    return open_as(compact, CLIENT_ASSERTION)


def claimed_client(opened: Parts) -> str:
    """The client an assertion says it is from, unverified: only to look its key up.

    Raises:
        Unauthenticated: code `bad_assertion`.
    """
    subject = opened.claims["sub"]
    if not isinstance(subject, str):
        raise Unauthenticated("bad_assertion", "claim `sub` is not a string")
    return subject


def verify_client_assertion(
    opened: Parts, key: VerifyKey, issuer: str, *, client_id: str, now: datetime
) -> ClientAssertion:
    """Check a `private_key_jwt` of `client_id`, made for us alone (RFC 7523, RFC 10070).

    Raises:
        Unauthenticated: code `bad_assertion`.
    """
    if not key.verifies(opened.signed, opened.signature):
        raise Unauthenticated("bad_assertion", "the signature does not verify")
    claims = opened.claims
    if claims["iss"] != client_id or claims["sub"] != client_id:
        raise Unauthenticated("bad_assertion", "claims `iss` and `sub` must both be the client id")
    if claims["aud"] != issuer and claims["aud"] != [issuer]:
        raise Unauthenticated("bad_assertion", "claim `aud` must be the issuer, as its only value")
    jti = claims["jti"]
    if not isinstance(jti, str) or not 0 < len(jti) <= proof.MOST_JTI:
        raise Unauthenticated("bad_assertion", "claim `jti` is empty, too long, or not a string")
    issued_at, expires_at = _whole(claims, "iat"), _whole(claims, "exp")
    seconds = to_micros(now) / 1_000_000
    _check_life(issued_at, expires_at, seconds)
    if "nbf" in claims and _whole(claims, "nbf") > seconds + proof.NEWEST.total_seconds():
        raise Unauthenticated("bad_assertion", "claim `nbf` lies in the future")
    return ClientAssertion(client_id, jti, issued_at, expires_at)


def _whole(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise Unauthenticated("bad_assertion", f"claim `{name}` is missing or not a whole number")
    return value


def _check_life(begins: int, expires_at: int, now: float) -> None:
    if begins > now + proof.NEWEST.total_seconds():
        raise Unauthenticated("bad_assertion", "claim `iat` or `nbf` lies in the future")
    if not now < expires_at <= now + LONGEST_ASSERTION.total_seconds():
        raise Unauthenticated("bad_assertion", "claim `exp` must lie ahead, by at most 120 s")
