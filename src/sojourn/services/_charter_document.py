"""A charter as people write it, read into a charter version; every member is checked.

name, owner, clients: [NAME], grants: {NAME: {target, template} | {audience, actions}},
duration: {default, longest}, beat: {every, missed_after, suspend_first}, renewals: {times, by}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.charter import Charter, Renewals
from sojourn.core.errors import Invalid
from sojourn.core.ids import CharterId, OwnerId
from sojourn.core.scope import AudienceGrant, Grant, TargetGrant, collect
from sojourn.core.session import BeatRule

Document = Mapping[str, object]

LONGEST: Final = timedelta(hours=24)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MEMBERS: Final = frozenset({"name", "owner", "clients", "grants", "duration", "beat", "renewals"})


def read_charter(
    document: Document, charter_id: CharterId, *, number: int, by: str, now: datetime
) -> Charter:
    """The charter version that `document` describes.

    Raises:
        Invalid: code `bad_charter`, naming the member and what was expected.
    """
    _only(document, _MEMBERS, "charter")
    duration = _object(document, "duration")
    _only(duration, frozenset({"default", "longest"}), "duration")
    default, longest = _span(duration, "default", "2m"), _span(duration, "longest", "30m")
    if not default <= longest <= LONGEST:
        raise _bad("duration", "`default` within `longest`, and `longest` within 24h")
    return Charter(
        id=charter_id,
        version=1,
        name=_name(document, "name"),
        number=number,
        owner=OwnerId(_text(document, "owner")),
        clients=_names(document, "clients"),
        grants=collect(_grant(name, value) for name, value in _object(document, "grants").items()),
        default_duration=default,
        longest=longest,
        beat=_beat(_object(document, "beat")),
        renewals=_renewals(_object(document, "renewals")),
        applied_at=now,
        applied_by=by,
    )


def _beat(rule: Document) -> BeatRule:
    _only(rule, frozenset({"every", "missed_after", "suspend_first"}), "beat")
    every, missed = _span(rule, "every", "10s"), _span(rule, "missed_after", "30s")
    suspend_first = rule.get("suspend_first", False)
    if not isinstance(suspend_first, bool):
        raise _bad("beat.suspend_first", "true or false")
    if missed < 2 * every:
        raise _bad("beat.missed_after", "at least twice `every`")
    return BeatRule(every, missed, suspend_first)


def _renewals(rule: Document) -> Renewals:
    _only(rule, frozenset({"times", "by"}), "renewals")
    times = rule.get("times", 0)
    if not isinstance(times, int) or isinstance(times, bool) or not 0 <= times <= 1000:
        raise _bad("renewals.times", "a whole number up to 1000")
    return Renewals(times, _span(rule, "by", "10m"))


def _grant(name: str, value: object) -> Grant:
    if not _NAME.fullmatch(str(name)):
        raise _bad("grants", "names of lower-case letters, digits, `.`, `_` and `-`")
    if not isinstance(value, Mapping):
        raise _bad(f"grants.{name}", "an object")
    members = {key: one for key, one in value.items() if one is not None}
    if members.keys() == {"target", "template"}:
        return TargetGrant(name, _text(members, "target"), _text(members, "template"))
    if members.keys() == {"audience", "actions"}:
        return AudienceGrant(name, _text(members, "audience"), _actions(members))
    raise _bad(f"grants.{name}", "`target` and `template`, or `audience` and `actions`")


def _actions(members: Document) -> tuple[str, ...]:
    actions = _texts(members, "actions")
    if any(not action or len(action.split()) != 1 for action in actions):
        raise _bad("actions", "words without spaces")
    return tuple(sorted(set(actions)))


def _names(document: Document, member: str) -> tuple[str, ...]:
    return tuple(sorted(set(_texts(document, member))))


def _texts(document: Document, member: str) -> list[str]:
    value = document.get(member)
    if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) for one in value):
        raise _bad(member, "a list of at least one text")
    return list(value)


def _name(document: Document, member: str) -> str:
    text = _text(document, member)
    if not _NAME.fullmatch(text):
        raise _bad(member, "lower-case letters, digits, `.`, `_` and `-`")
    return text


def _text(document: Document, member: str) -> str:
    value = document.get(member)
    if not isinstance(value, str) or not value:
        raise _bad(member, "text")
    return value


def _object(document: Document, member: str) -> Document:
    value = document.get(member, {})
    if not isinstance(value, Mapping):
        raise _bad(member, "an object")
    return value


def _span(document: Document, member: str, default: str) -> timedelta:
    text = document.get(member, default)
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise _bad(member, "a duration like `30s`, `10m` or `2h`")
    span = int(found[1]) * _UNITS[found[2]]
    if span > LONGEST.total_seconds():
        raise _bad(member, "at most 24h")
    return timedelta(seconds=span)


def _only(document: Document, members: frozenset[str], where: str) -> None:
    if odd := sorted(str(key) for key in document.keys() - members):
        raise _bad(where, f"no member `{odd[0][:40]}`")


def _bad(member: str, expected: str) -> Invalid:
    return Invalid("bad_charter", f"`{member}`: expected {expected}")
