"""One byte string per JSON value: RFC 8785 canonical JSON, written and strictly read.

Reading is the inverse and nothing more: bytes that this module would not have written are
refused, so two parties never see different values behind one hash.
"""

from __future__ import annotations

import json
import math
import re
from json.encoder import encode_basestring
from typing import Final, TypeAlias

from sojourn.ledger.errors import LedgerError, quote

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**53 - 1
"""Beyond it an IEEE 754 double, which is what JSON numbers are, skips integers."""

# `?` at the end lets an unterminated string match too, so the scan stays linear on hostile input.
_NESTING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_LONGEST_INTEGER: Final = len(str(-MAX_INTEGER))


def canonical(value: object) -> bytes:
    """Write `value` as RFC 8785 canonical JSON, in UTF-8.

    Raises:
        LedgerError: codes `not_json`, `number_out_of_range`, `lone_surrogate`, `too_deep`.
    """
    pieces: list[str] = []
    _write(value, pieces, MAX_DEPTH)
    try:
        return "".join(pieces).encode("utf-8")
    except UnicodeEncodeError as error:
        raise LedgerError("lone_surrogate", "expected Unicode text, got a lone surrogate") from error


def parse_canonical(raw: bytes, *, max_bytes: int) -> JsonValue:
    """Read canonical JSON, and refuse bytes that `canonical` would not have written.

    Raises:
        LedgerError: codes `too_large`, `not_utf8`, `too_deep`, `not_json`, `duplicate_key`,
            `number_out_of_range`, `lone_surrogate`, `not_canonical`.
    """
    if len(raw) > max_bytes:
        raise LedgerError("too_large", f"expected at most {max_bytes} bytes of JSON, got {len(raw)}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LedgerError("not_utf8", f"expected UTF-8, got another byte at {error.start}") from error
    _check_depth(text)
    value = _load(text)
    if canonical(value) != raw:
        raise LedgerError("not_canonical", "the JSON is not in its RFC 8785 canonical form")
    return value


def _write(value: object, pieces: list[str], depth: int) -> None:
    if value is None or value is True or value is False:
        pieces.append("null" if value is None else "true" if value is True else "false")
    elif isinstance(value, str):
        pieces.append(encode_basestring(value))
    elif isinstance(value, int):
        pieces.append(_integer(value))
    elif isinstance(value, float):
        pieces.append(_number(value))
    elif isinstance(value, dict):
        _write_object(value, pieces, depth - 1)
    elif isinstance(value, list):
        _write_array(value, pieces, depth - 1)
    else:
        raise LedgerError("not_json", f"expected a JSON value, got {quote(value)}")


def _write_object(members: dict[object, object], pieces: list[str], depth: int) -> None:
    _check_budget(depth)
    keys: list[str] = []
    for key in members:
        if not isinstance(key, str):
            raise LedgerError("not_json", f"expected text as a member's name, got {quote(key)}")
        keys.append(key)
    separator = "{"
    for key in sorted(keys, key=_utf16):
        pieces += (separator, encode_basestring(key), ":")
        _write(members[key], pieces, depth)
        separator = ","
    pieces.append("}" if keys else "{}")


def _write_array(items: list[object], pieces: list[str], depth: int) -> None:
    _check_budget(depth)
    separator = "["
    for item in items:
        pieces.append(separator)
        _write(item, pieces, depth)
        separator = ","
    pieces.append("]" if items else "[]")


def _utf16(key: str) -> bytes:
    # RFC 8785, section 3.2.3 sorts by UTF-16 code units; code points put emoji elsewhere.
    return key.encode("utf-16-be", "surrogatepass")


def _integer(value: int) -> str:
    if abs(value) > MAX_INTEGER:
        raise LedgerError("number_out_of_range", "expected an integer within 2^53-1, got a larger one")
    return int.__repr__(value)


def _number(value: float) -> str:
    """ECMAScript's Number::toString (ECMA-262, section 6.1.6.1.20), from Python's shortest digits."""
    if not math.isfinite(value):
        raise LedgerError("number_out_of_range", "expected a finite number, got NaN or an infinity")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or "0")
    digits = whole + fraction
    point -= len(digits) - len(digits.lstrip("0"))
    return sign + _place_point(digits.strip("0"), point)


def _place_point(digits: str, point: int) -> str:
    """Write 0.`digits` x 10^`point` the way ECMAScript does."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{tail}e{point - 1:+d}"


def _check_budget(depth: int) -> None:
    if depth < 0:
        raise LedgerError("too_deep", f"expected JSON at most {MAX_DEPTH} levels deep")


def _check_depth(text: str) -> None:
    # Before the parser sees it: its recursion limit depends on who called us.
    depth = 0
    for token in _NESTING.finditer(text):
        mark = token[0]
        depth += (mark in "[{") - (mark in "]}")
        _check_budget(MAX_DEPTH - depth)


def _load(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=_members,
            parse_int=_read_integer,
            parse_constant=_refuse_constant,
        )
    except ValueError as error:
        raise LedgerError("not_json", "expected JSON, got something else") from error
    return value


def _members(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise LedgerError("duplicate_key", "expected each member's name once in an object")
    return members


def _read_integer(text: str) -> int:
    # Length first: Python reads thousands of digits in quadratic time.
    if len(text) > _LONGEST_INTEGER or abs(int(text)) > MAX_INTEGER:
        raise LedgerError("number_out_of_range", f"expected an integer within 2^53-1, got {quote(text)}")
    return int(text)


def _refuse_constant(text: str) -> JsonValue:
    raise LedgerError("number_out_of_range", f"expected a finite number, got {quote(text)}")
