"""Placeholders in a description: `{handle}` and its like, filled in and never re-read.

A value goes into a path as one escaped segment, into a query by name, into JSON as itself, and
into a header only if it cannot end that header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.providers._http import segment

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+(?:\.[A-Za-z0-9_-]+)?)\}")
_STRAY: Final = re.compile(r"[{}]")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")

Values = Mapping[str, object]


def names_in(value: object) -> Iterator[str]:
    """Every placeholder in a string, or in the strings of a JSON value.

    Raises:
        Invalid: code `bad_target`; a brace that begins or ends no placeholder.
    """
    match value:
        case str():
            if _STRAY.search(_PLACEHOLDER.sub("", value)):
                raise Invalid("bad_target", f"`{value[:60]}` holds a brace that is no placeholder")
            yield from _PLACEHOLDER.findall(value)
        case Mapping():
            for name, member in value.items():
                if _STRAY.search(str(name)):
                    raise Invalid("bad_target", f"the name `{str(name)[:60]}` cannot hold a placeholder")
                yield from names_in(member)
        case list() | tuple():
            for member in value:
                yield from names_in(member)
        case _:
            return


def fill_path(text: str, values: Values) -> str:
    """A path whose placeholders are whole or partial segments, each value escaped."""
    return _PLACEHOLDER.sub(lambda found: segment(_text(values, found[1])), text)


def fill_text(text: str, values: Values) -> str:
    """A string for a query, where the caller escapes all of it."""
    return _PLACEHOLDER.sub(lambda found: _text(values, found[1]), text)


def fill_header(text: str, values: Values) -> str:
    """The value of a header.

    Raises:
        Invalid: code `bad_header`; it would not be one line of visible ASCII.
    """
    filled = fill_text(text, values)
    if not _HEADER_VALUE.fullmatch(filled):
        raise Invalid("bad_header", "the value of a header must be one line of visible ASCII")
    return filled


def fill_json(value: object, values: Values) -> object:
    """A JSON value: a string that is one placeholder becomes that value, whatever its type."""
    match value:
        case str():
            whole = _PLACEHOLDER.fullmatch(value)
            return _value(values, whole[1]) if whole else fill_text(value, values)
        case Mapping():
            return {name: fill_json(member, values) for name, member in value.items()}
        case list() | tuple():
            return [fill_json(member, values) for member in value]
        case _:
            return value


def find(document: object, pointer: str) -> object:
    """What a JSON pointer (RFC 6901) leads to, or None."""
    found = document
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and re.fullmatch(r"0|[1-9][0-9]{0,5}", name):
            found = found[int(name)] if int(name) < len(found) else None
        else:
            return None
    return found


def _value(values: Values, name: str) -> object:
    if name not in values:
        raise Invalid("bad_template", f"nothing is known for `{{{name}}}`")
    return values[name]


def _text(values: Values, name: str) -> str:
    value = _value(values, name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Invalid("bad_template", f"`{{{name}}}` must be text or a whole number here")
    return str(value)
