"""How a session presents its child at the token endpoint: a statement signed by the parent's own key.

The actor token of a token exchange (RFC 8693): it names the key of the child, and nothing else can
be done with it. The parent's key is in the header, as a `jwk` or as the certificate that the parent is
bound to (`x5c`, RFC 7515, section 4.1.6); whose it is, the caller knows.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sojourn.core import proof
from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.window import to_micros
from sojourn.jose.certificates import read_certificate
from sojourn.jose.keys import VerifyKey
from sojourn.jose.kinds import INTRODUCTION, open_as

LONGEST: Final = timedelta(seconds=120)
_CODE: Final = INTRODUCTION.code


@dataclass(frozen=True, slots=True)
class Introduction:
    """A verified introduction; its `jti` is yet to be spent."""

    parent_key: str  # what the parent is bound to (`core.binding`)
    child_key: str
    jti: str
    expires_at: int


def verify_introduction(compact: str, issuer: str, now: datetime) -> Introduction:
    """Check an introduction made for us, now, by the key it carries.

    Raises:
        Unauthenticated: code `bad_actor`.
    """
    parts = open_as(compact, INTRODUCTION)
    try:
        key, binding = _introducer(parts.header)
    except Invalid as error:
        raise Unauthenticated(_CODE, error.message) from error
    if not key.verifies(parts.signed, parts.signature):
        raise Unauthenticated(_CODE, "the signature does not verify")
    claims = parts.claims
    if claims.get("aud") != issuer:
        raise Unauthenticated(_CODE, "claim `aud` must be the issuer, as its only value")
    child, jti, expires = claims.get("sub"), claims.get("jti"), claims.get("exp")
    if not isinstance(child, str) or not isinstance(jti, str) or not 0 < len(jti) <= proof.MOST_JTI:
        raise Unauthenticated(_CODE, "claim `sub` or `jti` is missing, or too long")
    seconds = to_micros(now) / 1_000_000
    if isinstance(expires, bool) or not isinstance(expires, int):
        raise Unauthenticated(_CODE, "claim `exp` is missing or not a whole number")
    if not seconds < expires <= seconds + LONGEST.total_seconds():
        raise Unauthenticated(
            _CODE, f"claim `exp` must lie ahead, by at most {LONGEST.total_seconds():.0f} s"
        )
    return Introduction(binding, child, jti, expires)


def _introducer(header: Mapping[str, object]) -> tuple[VerifyKey, str]:
    """The key that signed, and the binding that it speaks for: one of the two, never both."""
    jwk, chain = header.get("jwk"), header.get("x5c")
    if isinstance(jwk, dict) and chain is None:
        key = VerifyKey.from_jwk(jwk)
        return key, key.thumbprint
    if jwk is None and isinstance(chain, list) and chain and isinstance(chain[0], str):
        try:
            certificate = read_certificate(base64.b64decode(chain[0], validate=True))
        except binascii.Error as error:
            raise Invalid("bad_certificate", "header `x5c` is not base64 of DER") from error
        return VerifyKey.from_certificate(certificate.parsed), certificate.binding
    raise Invalid("bad_key", "expected one of the headers `jwk`, an object, and `x5c`, a list")
