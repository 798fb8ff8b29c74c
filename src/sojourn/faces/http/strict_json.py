"""One reading of a JSON text, or none: what two parsers could read differently is refused.

Repeated members, NaN and infinities, numbers beyond exactness, lone surrogates, invalid UTF-8
and deep nesting are all refused, in time linear in the size of the text.
"""

from __future__ import annotations

import json
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.faces.http.limits import JSON_DEPTH, JSON_MEMBERS, JSON_WHOLE

_OPENING: Final = frozenset("[{")
_CLOSING: Final = frozenset("]}")


def read(body: bytes) -> object:
    """The value that `body` spells.

    Raises:
        Invalid: code `malformed_body`, saying what was found.
    """
    text = _decode(body)
    _check_depth(text)
    try:
        value: object = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        raise _malformed(f"not JSON: {error.msg.lower()} at character {error.pos}") from error
    if "\\u" in text:
        _check_surrogates(value)
    return value


def _malformed(message: str) -> Invalid:
    return Invalid("malformed_body", message)


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"expected UTF-8, byte {error.start} is not") from error


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= JSON_DEPTH:  # nearly every body: no need to look closer
        return
    depth, quoted, escaped = 0, False, False
    for char in text:
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
            continue
        quoted = char == '"'
        depth += (char in _OPENING) - (char in _CLOSING)
        if depth > JSON_DEPTH:
            raise _malformed(f"nested deeper than {JSON_DEPTH} levels")


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > JSON_MEMBERS:
        raise _malformed(f"an object has more than {JSON_MEMBERS} members")
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _malformed("an object has two members of one name")
    return members


def _constant(name: str) -> object:
    raise _malformed(f"`{name}` is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > JSON_WHOLE:
        raise _malformed("a whole number is beyond 2^53")
    return int(digits)


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise _malformed("a string holds half of a surrogate pair") from error


# Made once: `json.loads` with hooks would build a decoder for each body.
_STRICT: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant, parse_int=_whole)
