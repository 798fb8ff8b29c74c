"""What triggers share: strict reading of JSON, and comparing signatures."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.secret import Secret


def hmac_sha256(secret: Secret, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104)."""
    return hmac.new(secret.reveal().encode(), message, hashlib.sha256).digest()


def same(expected: bytes, found: bytes) -> bool:
    """Whether both are the same, in constant time."""
    return hmac.compare_digest(expected, found)


def unsigned(why: str) -> Unauthenticated:
    """The refusal of a delivery; it never says which part of a secret was wrong."""
    return Unauthenticated("bad_signature", why)


def read(body: bytes) -> Mapping[str, object]:
    """The object that `body` spells.

    Raises:
        Invalid: code `bad_delivery`.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_delivery", "the delivery is not JSON") from error
    if not isinstance(value, dict):
        raise Invalid("bad_delivery", "the delivery is no object")
    return value


def member(found: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A member that is an object.

    Raises:
        Invalid: code `bad_delivery`.
    """
    value = found.get(name)
    if not isinstance(value, dict):
        raise Invalid("bad_delivery", f"expected `{name}` to be an object")
    return value


def number(found: Mapping[str, object], name: str) -> str:
    """A whole number, as attested facts spell it.

    Raises:
        Invalid: code `bad_delivery`.
    """
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise Invalid("bad_delivery", f"expected `{name}` to be a whole number")
    return str(value)
