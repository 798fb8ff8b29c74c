"""What people write about a target, read strictly into a struct; says which member is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from sojourn.core.errors import Invalid

S = TypeVar("S", bound=msgspec.Struct)


def read_settings(settings: Mapping[str, object], kind: type[S]) -> S:
    """What an operator says of a target beside its secret, read strictly.

    Raises:
        Invalid: code `bad_target`; a setting is unknown, of another type, or out of bounds.
    """
    return _read(settings, kind, "bad_target")


def read_template(template: Mapping[str, object], kind: type[S]) -> S:
    """A grant template, read strictly.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    return _read(template, kind, "bad_template")


def _read(given: Mapping[str, object], kind: type[S], code: str) -> S:
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        text = str(error)
        raise Invalid(code, f"{text[:1].lower()}{text[1:300]}") from error
