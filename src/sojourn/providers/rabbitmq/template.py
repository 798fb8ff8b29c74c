"""Grant templates: which queues and exchanges a user may configure, write and read.

Names are written out, or end in `*`; a regular expression cannot be given, because the
server does not anchor it and `orders` would match `reorders` too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec

from sojourn.core.errors import Invalid
from sojourn.providers._common.reading import read_template

LONGEST_NAME = 255  # a short string of AMQP 0-9-1


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one user gets, in one virtual host."""

    vhost: str = "/"
    configure: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    connection_limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10


def parse(raw: Mapping[str, object]) -> Template:
    """Read a template.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    template = read_template(raw, Template)
    _check_name("vhost", template.vhost)
    for member in ("configure", "write", "read"):
        for number, name in enumerate(getattr(template, member)):
            _check_name(f"{member}[{number}]", name)
    return template


def permissions(template: Template) -> dict[str, str]:
    """The body of `PUT /api/permissions/…`."""
    return {
        "configure": _pattern(template.configure),
        "write": _pattern(template.write),
        "read": _pattern(template.read),
    }


def _pattern(names: tuple[str, ...]) -> str:
    """A regular expression that matches exactly these names; of none, only the empty name."""
    return f"^({'|'.join(_one(name) for name in names)})$" if names else "^$"


def _one(name: str) -> str:
    return re.escape(name[:-1]) + ".*" if name.endswith("*") else re.escape(name)


def _check_name(member: str, name: str) -> None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise Invalid("bad_template", f"`{member}` is not valid Unicode") from error
    if not 1 <= size <= LONGEST_NAME:
        raise Invalid("bad_template", f"`{member}` must have 1 to {LONGEST_NAME} bytes")
    if not name.isprintable():
        raise Invalid("bad_template", f"`{member}` holds a control character")
