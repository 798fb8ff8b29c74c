"""A compact JWS taken apart, strictly: canonical base64url, unique members, a bounded size and depth."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final, NoReturn

from sojourn.core.errors import Unauthenticated

LARGEST: Final = 8192  # characters: more than any token of ours, less than a header limit
DEEPEST: Final = 8  # brackets within brackets: claims are flat, or a little deeper
_LONGEST_NUMBER: Final = 20  # characters: no claim counts further than 64 bits


@dataclass(frozen=True, slots=True)
class Parts:
    header: Mapping[str, object]
    claims: Mapping[str, object]
    signed: bytes
    signature: bytes


def take_apart(compact: str, code: str) -> Parts:
    if len(compact) > LARGEST:
        raise Unauthenticated(code, f"longer than {LARGEST} characters")
    segments = compact.split(".")
    if len(segments) != 3 or not compact.isascii():
        raise Unauthenticated(code, "not a signed token in compact form")
    header, payload, signature = segments
    return Parts(
        _object(octets_of(header, code), code),
        _object(octets_of(payload, code), code),
        f"{header}.{payload}".encode(),
        octets_of(signature, code),
    )


def octets_of(segment: str, code: str) -> bytes:
    try:
        octets = base64.b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unauthenticated(code, "a part is not base64url") from error
    # Stray final bits and padding would give one token many spellings.
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != segment.encode():
        raise Unauthenticated(code, "a part is not canonical base64url")
    return octets


def _object(octets: bytes, code: str) -> Mapping[str, object]:
    try:
        text = octets.decode()
        value = _STRICT.decode(text)
        if text.count("{") + text.count("[") > DEEPEST:
            _check_depth(value, DEEPEST)
        if "\\" in text:
            _check_characters(value)
    except (ValueError, RecursionError) as error:
        raise Unauthenticated(code, "a part is not JSON as we take it, or names a member twice") from error
    if not isinstance(value, dict):
        raise Unauthenticated(code, "a part is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):  # 1e999 is JSON, and infinity to Python
        raise ValueError("a number is too large")
    return value


def _check_depth(value: object, left: int) -> None:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inner and left == 0:
        raise ValueError("too deep")
    for item in inner:
        _check_depth(item, left - 1)


def _check_characters(value: object) -> None:
    """Refuse what an escape can spell and no database or header can carry: half pairs and NUL."""
    text = json.dumps(value, ensure_ascii=False)
    text.encode()  # UnicodeEncodeError, a ValueError, for half of a surrogate pair
    if "\\u0000" in text:
        raise ValueError("a NUL character")


# Made once: `json.loads` with hooks would build a decoder for each part of each token.
_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_number, parse_float=_fraction
)
