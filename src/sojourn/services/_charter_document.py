"""A charter as people write it, read into a charter version; every member is checked.

Members of the first hour stand here, the rules for longer lives in `_charter_rules.py`.
`docs/reference/charter.md` lists all of them, `docs/reference/charter.schema.json` is the
JSON Schema; tests hold both to what is read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.charter import Charter, Renewals
from sojourn.core.ids import CharterId, OwnerId
from sojourn.core.scope import AudienceGrant, Grant, TargetGrant, collect
from sojourn.core.session import BeatRule
from sojourn.services import _charter_members as read
from sojourn.services import _charter_rules as rules
from sojourn.services._charter_members import Document, bad

MEMBERS: Final = frozenset(
    [
        "name",
        "owner",
        "purpose",
        "clients",
        "openers",
        "grants",
        "phases",
        "duration",
        "idle",
        "beat",
        "renewals",
        "pins",
        "budget",
        "children",
        "window",
        "approval",
        "ends_on",
        "break_glass",
    ]
)
MOST_BREAK_GLASS: Final = timedelta(minutes=15)
_AUDIENCE: Final = re.compile(r"[\x21-\x7e]{1,256}")
_ACTION: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")  # RFC 6749, section 3.3


def read_charter(
    document: Document, charter_id: CharterId, *, number: int, by: str, now: datetime
) -> Charter:
    """The charter version that `document` describes.

    Raises:
        Invalid: code `bad_charter`, naming the member and what was expected.
    """
    read.only(document, MEMBERS, "charter")
    default, longest = _duration(read.objects(document, "duration"))
    grants = collect(_grant(name, value) for name, value in _grants(document).items())
    charter = Charter(
        id=charter_id,
        version=1,
        name=_name(document),
        number=number,
        owner=OwnerId(read.line(document, "owner")),
        clients=_clients(document),
        grants=grants,
        default_duration=default,
        longest=longest,
        beat=_beat(read.objects(document, "beat")),
        renewals=_renewals(read.objects(document, "renewals")),
        applied_at=now,
        applied_by=by,
        purpose=read.line(document, "purpose") if "purpose" in document else "",
        openers=rules.openers(document),
        phases=rules.phases(document, grants.names()),
        idle=read.span(document, "idle", "") if "idle" in document else None,
        pins=rules.pins(document),
        budget=rules.budget(read.objects(document, "budget")),
        children=rules.children(read.objects(document, "children")),
        window=rules.window(document),
        approval=rules.approval(document),
        ends_on=rules.ends_on(document),
        break_glass=read.flag(document, "break_glass"),
    )
    _judge(charter)
    return charter


def _judge(charter: Charter) -> None:
    """What no single member shows."""
    if not charter.clients and not charter.openers:
        raise bad("clients", "at least one client, here or in `openers`")
    if not charter.break_glass:
        return
    if charter.longest > MOST_BREAK_GLASS or charter.renewals.times:
        raise bad("break_glass", "`duration.longest` of at most 15m and no renewals")
    if not charter.purpose or charter.children.depth:
        raise bad("break_glass", "a `purpose`, and no `children`")


def _name(document: Document) -> str:
    text = document.get("name")
    if not isinstance(text, str) or not read.NAME.fullmatch(text):
        raise bad("name", "lower-case letters, digits, `.`, `_` and `-`")
    return text


def _clients(document: Document) -> tuple[str, ...]:
    named = read.words(document, "clients", most=read.MOST_NAMED) if "clients" in document else ()
    return tuple(sorted(set(named)))


def _duration(rule: Document) -> tuple[timedelta, timedelta]:
    read.only(rule, frozenset({"default", "longest"}), "duration")
    default, longest = read.span(rule, "default", "2m"), read.span(rule, "longest", "30m")
    if not default <= longest:
        raise bad("duration", "`default` within `longest`")
    return default, longest


def _beat(rule: Document) -> BeatRule:
    read.only(rule, frozenset({"every", "missed_after", "suspend_first", "evidence"}), "beat")
    every, missed = read.span(rule, "every", "10s"), read.span(rule, "missed_after", "30s")
    if missed < 2 * every:
        raise bad("beat.missed_after", "at least twice `every`")
    evidence = rule.get("evidence", "key")
    if evidence not in ("key", "fresh"):
        raise bad("beat.evidence", "`key` or `fresh`")
    return BeatRule(every, missed, read.flag(rule, "suspend_first"), str(evidence))


def _renewals(rule: Document) -> Renewals:
    read.only(rule, frozenset({"times", "by"}), "renewals")
    return Renewals(read.whole(rule, "times", least=0, most=1000) or 0, read.span(rule, "by", "10m"))


def _grants(document: Document) -> Document:
    grants = read.objects(document, "grants")
    if len(grants) > read.MOST_LISTED:
        raise bad("grants", f"at most {read.MOST_LISTED}")
    return grants


def _grant(name: str, value: object) -> Grant:
    if not read.NAME.fullmatch(name):
        raise bad("grants", "names of lower-case letters, digits, `.`, `_` and `-`")
    if not isinstance(value, Mapping):
        raise bad(f"grants.{name}", "an object")
    if value.keys() - {"at_least"} == {"target", "template"}:
        return TargetGrant(name, read.word(value, "target"), read.word(value, "template"), _class(value))
    if value.keys() == {"audience", "actions"}:
        audience = value["audience"]
        if not isinstance(audience, str) or not _AUDIENCE.fullmatch(audience):
            raise bad(f"grants.{name}.audience", "visible characters, at most 256")
        return AudienceGrant(name, audience, _actions(value))
    raise bad(f"grants.{name}", "`target` and `template`, or `audience` and `actions`")


def _class(members: Document) -> str | None:
    if "at_least" not in members:
        return None
    value = members["at_least"]
    if value not in ("A", "B", "C", "D"):
        raise bad("at_least", "`A`, `B`, `C` or `D`")
    return str(value)


def _actions(members: Document) -> tuple[str, ...]:
    actions = read.items(members, "actions", most=read.MOST_NAMED)
    if not all(isinstance(one, str) and _ACTION.fullmatch(one) for one in actions):
        raise bad("actions", "words without spaces")
    return tuple(sorted({str(one) for one in actions}))
