"""Grant templates: the subjects a user may publish and subscribe to.

Nothing under `$` can be given: there lie the system's own requests and JetStream's, with
which a session could leave something behind that goes on without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from sojourn.core.errors import Invalid
from sojourn.providers._common.reading import read_template

LONGEST_SUBJECT: Final = 256


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one user gets; it may always subscribe to an inbox of its own."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    respond: bool = False  # one answer to each request it is sent


def parse(raw: Mapping[str, object]) -> Template:
    """Read a template.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    template = read_template(raw, Template)
    for member in ("publish", "subscribe"):
        for number, subject in enumerate(getattr(template, member)):
            _check_subject(f"{member}[{number}]", subject)
    return template


def permissions(template: Template, handle: str) -> dict[str, object]:
    """The template of a scoped signing key (account claims, version 2)."""
    told: dict[str, object] = {
        "pub": {"allow": list(template.publish)} if template.publish else {"deny": [">"]},
        "sub": {"allow": [*template.subscribe, f"{inbox_of(handle)}.>"]},
        "subs": -1,
        "data": -1,
        "payload": -1,
    }
    if template.respond:
        told["resp"] = {"max": 1, "ttl": 60_000_000_000}
    return told


def nothing() -> dict[str, object]:
    """The template of a key under which nobody may do anything."""
    return {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}, "subs": -1, "data": -1, "payload": -1}


def inbox_of(handle: str) -> str:
    """The prefix of a session's own inboxes: `_INBOX.>` would show it everybody's answers."""
    return f"_INBOX_{handle}"


def _check_subject(member: str, subject: str) -> None:
    words = subject.split(".")
    if not 1 <= len(subject) <= LONGEST_SUBJECT or not all(words):
        raise Invalid("bad_template", f"`{member}` is not a subject of up to {LONGEST_SUBJECT} characters")
    if any(c.isspace() or not c.isprintable() for c in subject):
        raise Invalid("bad_template", f"`{member}` holds a space or a control character")
    if words[0] in ("*", ">") or words[0].startswith(("$", "_INBOX")):
        raise Invalid("bad_template", f"`{member}`: begins with a wildcard, `$` or an inbox")
    for number, word in enumerate(words):
        last = number == len(words) - 1
        if (">" in word and (word != ">" or not last)) or ("*" in word and word != "*"):
            raise Invalid("bad_template", f"`{member}`: a wildcard stands alone between dots, `>` the last")
