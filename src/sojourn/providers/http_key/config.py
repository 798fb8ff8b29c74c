"""Where the API is, how it takes its key, and how the key is tried out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret

_MEMBERS: Final = frozenset({"base_url", "header", "format", "probe_path", "ca_file"})
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # a token (RFC 9110, section 5.6.2)
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_NEVER: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "te", "upgrade"})
_PLACE: Final = "{key}"


@dataclass(frozen=True, slots=True)
class Config:
    """One API and its key."""

    base_url: str
    header: str
    value: Secret  # the whole value of the header, key included
    key: Secret
    probe_path: str | None
    ca_file: str | None


def read_config(settings: Mapping[str, object], secret: Secret) -> Config:
    """Settings as people write them, with the sealed key.

    Raises:
        Invalid: code `bad_target`, naming the member and what was expected.
    """
    if odd := sorted(settings.keys() - _MEMBERS):
        raise Invalid("bad_target", f"no setting `{odd[0][:40]}`")
    header = _text(settings, "header", "Authorization")
    shape = _text(settings, "format", "Bearer {key}" if header.lower() == "authorization" else _PLACE)
    if not _HEADER.fullmatch(header) or header.lower() in _NEVER:
        raise Invalid("bad_target", "`header`: expected the name of a header that carries a key")
    if shape.count(_PLACE) != 1:
        raise Invalid("bad_target", "`format`: expected a text with `{key}` in it once")
    key = secret.reveal().strip()
    value = shape.replace(_PLACE, key)
    if not key or not _VALUE.fullmatch(value):
        raise Invalid("bad_target", "the key cannot be sent in a header")
    return Config(
        base_url=_text(settings, "base_url", None),
        header=header,
        value=Secret(value),
        key=Secret(key),
        probe_path=_optional(settings, "probe_path"),
        ca_file=_optional(settings, "ca_file"),
    )


def _text(settings: Mapping[str, object], member: str, default: str | None) -> str:
    value = settings.get(member, default)
    if not isinstance(value, str) or not value:
        raise Invalid("bad_target", f"`{member}`: expected text")
    return value


def _optional(settings: Mapping[str, object], member: str) -> str | None:
    return None if settings.get(member) is None else _text(settings, member, None)
