"""Reads members of JSON objects by type: the boundary where what others sent becomes ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from sojourn.core.errors import Invalid

Json = Mapping[str, object]


def parse_object(raw: bytes | str) -> Json:
    """Read one JSON object.

    Raises:
        Invalid: code `bad_json`.
    """
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_json", "expected a JSON object, the text is not JSON") from error
    if not isinstance(value, dict):
        raise Invalid("bad_json", f"expected a JSON object, got a {type(value).__name__}")
    return cast(Json, value)


def text(value: Json, name: str) -> str:
    """The string `name`; code `bad_answer` when it is not one."""
    found = value.get(name)
    if not isinstance(found, str):
        raise Invalid("bad_answer", f"expected member `{name}` to be a string")
    return found


def text_or_none(value: Json, name: str) -> str | None:
    """The string `name`, or None when it is null or absent."""
    return None if value.get(name) is None else text(value, name)


def number(value: Json, name: str) -> float:
    """The number `name`."""
    found = value.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise Invalid("bad_answer", f"expected member `{name}` to be a number")
    return float(found)


def member(value: Json, name: str) -> Json:
    """The object `name`."""
    found = value.get(name)
    if not isinstance(found, dict):
        raise Invalid("bad_answer", f"expected member `{name}` to be an object")
    return cast(Json, found)


def members(value: Json, name: str) -> tuple[Json, ...]:
    """The list of objects `name`."""
    found = value.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Invalid("bad_answer", f"expected member `{name}` to be a list of objects")
    return tuple(cast(list[Json], found))
