"""Members of a document that people wrote, each read as what it must be or refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from sojourn.core.errors import Invalid

Document = Mapping[str, object]

LONGEST: Final = timedelta(hours=24)
MOST_COUNTED: Final = 2**53 - 1  # what every JSON reader keeps exact
MOST_LISTED: Final = 64
MOST_NAMED: Final = 256  # clients, actions
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LINE: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def bad(member: str, expected: str) -> Invalid:
    """The refusal of a document."""
    return Invalid("bad_charter", f"`{member}`: expected {expected}")


def only(document: Document, members: frozenset[str], where: str) -> None:
    """Refuse a member that is not one of `members`."""
    if odd := sorted(str(key) for key in document.keys() - members):
        raise bad(where, f"no member `{odd[0][:40]}`")


def whole(document: Document, member: str, *, least: int, most: int) -> int | None:
    """A whole number within bounds; None if it is not given."""
    if member not in document:
        return None
    value = document[member]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad(member, f"a whole number from {least} to {most}")
    return value


def flag(document: Document, member: str) -> bool:
    """True or false; false if it is not given."""
    value = document.get(member, False)
    if not isinstance(value, bool):
        raise bad(member, "true or false")
    return value


def span(document: Document, member: str, default: str) -> timedelta:
    """A duration of at most 24 h."""
    text = document.get(member, default)
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise bad(member, "a duration like `30s`, `10m` or `2h`")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > LONGEST.total_seconds():
        raise bad(member, "at most 24h")
    return timedelta(seconds=seconds)


def line(document: Document, member: str) -> str:
    """A text of one line."""
    value = document.get(member)
    if not isinstance(value, str) or not _LINE.fullmatch(value):
        raise bad(member, "a text of one line, at most 256 characters")
    return value


def word(document: Document, member: str) -> str:
    """A name as clients, targets, templates, facts and calendars have it."""
    value = document.get(member)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise bad(member, "a name of letters, digits, `.`, `_` and `-`")
    return value


def words(document: Document, member: str, *, most: int = MOST_LISTED) -> tuple[str, ...]:
    """A list of at least one name, in their order."""
    return tuple(word({member: one}, member) for one in items(document, member, most=most))


def each(document: Document, member: str, *, most: int = MOST_LISTED) -> list[Document]:
    """A list of objects; empty if it is not given."""
    if member not in document:
        return []
    return [_as_object(one, member) for one in items(document, member, most=most)]


def items(document: Document, member: str, *, most: int) -> list[object]:
    """A list of at least one value."""
    value = document.get(member)
    if not isinstance(value, list | tuple) or not 0 < len(value) <= most:
        raise bad(member, f"a list of 1 to {most}")
    return list(value)


def objects(document: Document, member: str) -> Document:
    """An object; empty if it is not given."""
    return _as_object(document.get(member, {}), member)


def _as_object(value: object, member: str) -> Document:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise bad(member, "an object")
    return value
