"""Grant templates: keys, channels and commands of a user; a closed vocabulary.

Whatever a template lists, `@admin`, `@dangerous` and `@scripting` are taken away last: what
is in them only the server knows, and with them a user could make others, see all, or hold
up the server that is to remove it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers._common.reading import read_template

Category = Literal[
    "read", "write", "keyspace", "string", "hash", "list", "set", "sortedset", "stream", "bitmap",
    "hyperloglog", "geo", "pubsub", "transaction", "blocking",
]  # fmt: skip
Command = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,40}(\|[a-z][a-z0-9_-]{0,40})?$")]

ALWAYS: Final = ("+@connection",)  # PING, HELLO, SELECT, and what clients say of themselves
NEVER: Final = ("-@admin", "-@dangerous", "-@scripting")
LONGEST_PATTERN: Final = 512


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one user gets."""

    keys: tuple[str, ...] = ()
    read_keys: tuple[str, ...] = ()
    write_keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    commands: tuple[Command, ...] = ()


def parse(raw: Mapping[str, object]) -> Template:
    """Read a template.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    template = read_template(raw, Template)
    if not template.categories and not template.commands:
        raise Invalid("bad_template", "expected `categories` or `commands`: a user needs some command")
    for member in ("keys", "read_keys", "write_keys", "channels"):
        for number, pattern in enumerate(getattr(template, member)):
            _check_pattern(f"{member}[{number}]", pattern)
    return template


def rules(template: Template, password: Secret) -> list[str]:
    """The words of `ACL SETUSER`, from a clean slate; the password leaves as its SHA-256 only."""
    return [
        "reset",
        "on",
        f"#{hashlib.sha256(password.reveal().encode()).hexdigest()}",
        "resetchannels",
        "-@all",
        *ALWAYS,
        *(f"+@{one}" for one in template.categories),
        *(f"+{one}" for one in template.commands),
        *NEVER,
        *(f"~{one}" for one in template.keys),
        *(f"%R~{one}" for one in template.read_keys),
        *(f"%W~{one}" for one in template.write_keys),
        *(f"&{one}" for one in template.channels),
    ]


def _check_pattern(member: str, pattern: str) -> None:
    if not 1 <= len(pattern) <= LONGEST_PATTERN:
        raise Invalid("bad_template", f"`{member}` must have 1 to {LONGEST_PATTERN} characters")
    try:
        pattern.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Invalid("bad_template", f"`{member}` is not valid Unicode") from error
    # An ACL is kept as one line of words.
    if any(c.isspace() or not c.isprintable() for c in pattern):
        raise Invalid("bad_template", f"`{member}` holds a space or a control character")
