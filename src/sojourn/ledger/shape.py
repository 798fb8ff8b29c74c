"""Reading members of JSON objects by their type, once, for every format of this package."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sojourn.ledger.canonical import JsonObject, JsonValue
from sojourn.ledger.errors import LedgerError, quote


def as_object(value: JsonValue) -> JsonObject:
    """The value, which must be an object.

    Raises:
        LedgerError: code `bad_shape`.
    """
    if not isinstance(value, dict):
        raise LedgerError("bad_shape", f"expected a JSON object, got {quote(value)}")
    return value


def exact_object(value: JsonValue, names: AbstractSet[str]) -> JsonObject:
    """The value, which must be an object with just these members.

    Raises:
        LedgerError: code `bad_shape`.
    """
    members = as_object(value)
    if members.keys() != names:
        odd = min(members.keys() ^ names)
        raise LedgerError("bad_shape", f"expected the format's members, {quote(odd)} is missing or extra")
    return members


def text_of(members: JsonObject, name: str) -> str:
    """The text of a member.

    Raises:
        LedgerError: code `bad_shape`.
    """
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise LedgerError("bad_shape", f"expected text as {quote(name)}, got {quote(value)}")
    return value


def text_or_null(members: JsonObject, name: str) -> str | None:
    """The text of a member that may be null or absent.

    Raises:
        LedgerError: code `bad_shape`.
    """
    return None if members.get(name) is None else text_of(members, name)


def count_of(members: JsonObject, name: str) -> int:
    """The whole number, zero or more, of a member.

    Raises:
        LedgerError: code `bad_shape`.
    """
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise LedgerError("bad_shape", f"expected a whole number as {quote(name)}, got {quote(value)}")
    return value


def list_of(members: JsonObject, name: str) -> list[JsonValue]:
    """The list of a member.

    Raises:
        LedgerError: code `bad_shape`.
    """
    value = members.get(name)
    if not isinstance(value, list):
        raise LedgerError("bad_shape", f"expected a list as {quote(name)}, got {quote(value)}")
    return value
