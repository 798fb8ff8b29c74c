"""A charter in the form in which it is applied, with its number and who applied it when.

What the document need not say is left out, so that what is shown can be applied again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta

from sojourn.core.charter import ApprovalRule, Charter, WindowRule
from sojourn.core.scope import Grant, TargetGrant
from sojourn.core.window import show

Json = dict[str, object]


def charter(value: Charter) -> Json:
    """A charter version."""
    applied = {"number": value.number, "applied_at": show(value.applied_at), "applied_by": value.applied_by}
    return {**document(value), **applied}


def document(value: Charter) -> Json:
    """The document that the charter was read from, as far as it says more than the defaults."""
    told: Json = {
        "name": value.name,
        "owner": value.owner,
        "grants": {grant.name: _grant(grant) for grant in value.grants.each()},
        "duration": {"default": span(value.default_duration), "longest": span(value.longest)},
        "beat": {
            "every": span(value.beat.every),
            "missed_after": span(value.beat.missed_after),
            "suspend_first": value.beat.suspend_first,
            "evidence": value.beat.evidence,
        },
        "renewals": {"times": value.renewals.times, "by": span(value.renewals.by)},
    }
    return told | {name: one for name, one in _longer_lives(value).items() if one}


def _longer_lives(value: Charter) -> Json:
    return {
        "purpose": value.purpose,
        "clients": list(value.clients),
        "openers": [{"client": one.client, "selectors": dict(one.selectors)} for one in value.openers],
        "phases": [{"name": one.name, "grants": list(one.grants)} for one in value.phases],
        "idle": value.idle and span(value.idle),
        "pins": [{"fact": one.fact, "on_drift": one.on_drift.value} for one in value.pins],
        "budget": _given(asdict(value.budget)),
        "children": asdict(value.children) if value.children.depth else None,
        "window": value.window and _window(value.window),
        "approval": value.approval and _approval(value.approval),
        "ends_on": list(value.ends_on),
        "break_glass": value.break_glass,
    }


def _grant(grant: Grant) -> Json:
    if isinstance(grant, TargetGrant):
        return _given({"target": grant.target, "template": grant.template, "at_least": grant.at_least})
    return {"audience": grant.audience, "actions": list(grant.actions)}


def _window(rule: WindowRule) -> Json:
    return _given({"calendar": rule.calendar, "blackout": rule.blackout, "on_close": rule.on_close.value})


def _approval(rule: ApprovalRule) -> Json:
    return {
        "approvals": rule.approvals,
        "approvers": list(rule.approvers),
        "answer_within": span(rule.answer_within),
        "valid_for": span(rule.valid_for),
    }


def _given(members: Mapping[str, object]) -> Json:
    return {name: one for name, one in members.items() if one is not None}


def span(value: timedelta) -> str:
    """A duration as charters write it, in the largest unit that is exact."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
