"""Possession of a key, shown for one request: DPoP proofs (RFC 9449).

Judges a proof whose signature was verified before; knows no keys, no sockets and no clock.
Whether the same proof came before is the caller's to remember: see `KEEP_JTI`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.errors import NonceWanted, Unauthenticated
from sojourn.core.window import to_micros

TYPE: Final = "dpop+jwt"
OLDEST: Final = timedelta(seconds=60)
NEWEST: Final = timedelta(seconds=10)
KEEP_JTI: Final = timedelta(seconds=80)  # OLDEST + NEWEST, and room for a clock that steps
MOST_JTI: Final = 256  # characters; what is remembered must be bounded

_URL: Final = re.compile(r"(https?|wss?)://([^/?#@\\\s]+)([^?#\s]*)(?:[?#].*)?", re.IGNORECASE | re.DOTALL)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{0,5}))?")
_HTTP_SCHEME: Final[Mapping[str, str]] = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_DEFAULT_PORT: Final[Mapping[str, int]] = {"http": 80, "https": 443}
_THUMBPRINT: Final[Mapping[str, tuple[str, ...]]] = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
}
_LARGEST_DATE: Final = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verified proof says, and the thumbprint of the key that signed it."""

    key: str
    jti: str
    method: str
    url: str
    issued_at: float  # NumericDate: seconds since 1970
    ath: str | None
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What a proof must match: one request, and when known the key and the token's hash.

    With `nonces` it must carry one of them; the first is the one to give out.
    """

    method: str
    url: str
    key: str | None = None
    ath: str | None = None
    nonces: tuple[str, ...] = ()


def read(key: str, claims: Mapping[str, object]) -> Proof:
    """Read the claims of a proof signed by the key with thumbprint `key`.

    Unknown claims are ignored, as RFC 9449 allows.

    Raises:
        Unauthenticated: code `bad_proof`, naming the claim.
    """
    ath, nonce = _text_or_none(claims, "ath"), _text_or_none(claims, "nonce")
    jti, method, url = _text(claims, "jti"), _text(claims, "htm"), _text(claims, "htu")
    return Proof(key, jti, method, url, _date(claims), ath, nonce)


def judge(proof: Proof, demand: Demand, now: datetime) -> None:
    """Refuse a proof that was not made for this request (RFC 9449, section 4.3).

    Raises:
        Unauthenticated: code `wrong_key` or `bad_proof`.
        NonceWanted: all else is right, but for the nonce.
    """
    if demand.key is not None and proof.key != demand.key:
        raise Unauthenticated(
            "wrong_key", "the proof is signed by another key than the one the token is bound to"
        )
    if proof.method != demand.method:
        raise Unauthenticated("bad_proof", "claim `htm` names another method than the request's")
    if demand.ath is not None and proof.ath != demand.ath:
        raise Unauthenticated("bad_proof", "claim `ath` is missing or does not match the token")
    age = to_micros(now) / 1_000_000 - proof.issued_at
    if age > OLDEST.total_seconds() or age < -NEWEST.total_seconds():
        raise Unauthenticated("bad_proof", f"claim `iat` is {age:.0f} s old; allowed is from -10 s to 60 s")
    if proof.url != demand.url and place(proof.url) != place(demand.url):
        raise Unauthenticated("bad_proof", "claim `htu` names another address than the request's")
    if demand.nonces and proof.nonce not in demand.nonces:
        raise NonceWanted(demand.nonces[0])


def place(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path: what two addresses must share (RFC 9449, section 4.3, check 9).

    Query and fragment are left out, scheme and host lower-cased, default ports written out.
    Percent-encoding is compared as it is: a proxy that rewrites it must be told the public address.

    Raises:
        Unauthenticated: code `bad_proof`; not an http address.
    """
    parts = _URL.fullmatch(url)
    host = _HOST.fullmatch(parts.group(2)) if parts else None
    if parts is None or host is None:
        raise Unauthenticated("bad_proof", "claim `htu` is not an http address")
    scheme = _HTTP_SCHEME[parts.group(1).lower()]
    port = int(host.group(2)) if host.group(2) else _DEFAULT_PORT[scheme]
    return scheme, host.group(1).lower(), port, parts.group(3) or "/"


def ath_of(token: str) -> str:
    """The hash by which a proof names its token (RFC 9449, section 4.2)."""
    return _b64(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())


def thumbprint_of(jwk: Mapping[str, str]) -> str:
    """The SHA-256 thumbprint of a public key (RFC 7638; RFC 8037 for Ed25519)."""
    members = {name: jwk[name] for name in _THUMBPRINT[jwk["kty"]]}
    return _b64(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Unauthenticated("bad_proof", f"claim `{name}` of the proof is missing or not a string")
    if name == "jti" and len(value) > MOST_JTI:
        raise Unauthenticated("bad_proof", f"claim `jti` is longer than {MOST_JTI} characters")
    return value


def _text_or_none(claims: Mapping[str, object], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not isinstance(value, str):
        raise Unauthenticated("bad_proof", f"claim `{name}` of the proof is not a string")
    return value


def _date(claims: Mapping[str, object]) -> float:
    value = claims.get("iat")
    # A boolean is an int in Python, and not-a-number fails every comparison: both end here.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_DATE:
        raise Unauthenticated("bad_proof", "claim `iat` of the proof is missing or no date")
    return float(value)
