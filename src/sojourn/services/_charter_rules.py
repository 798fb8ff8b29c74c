"""The rules of a charter document beyond who, what and how long; each is refused by name."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final, TypeVar

from sojourn.core.charter import (
    ApprovalRule,
    Budget,
    ChildRule,
    OnClose,
    OnDrift,
    Opener,
    Phase,
    PinRule,
    WindowRule,
)
from sojourn.services import _charter_members as read
from sojourn.services._charter_members import Document, bad

E = TypeVar("E", bound=StrEnum)

OWNER: Final = "owner"
MOST_DEPTH: Final = 8
"""Tokens name at most so many ancestors."""

MOST_CHILDREN: Final = 1000
MOST_APPROVALS: Final = 10
MOST_PHASES: Final = 16


def openers(document: Document) -> tuple[Opener, ...]:
    """Clients that must show attested facts to open."""
    found = []
    for one in read.each(document, "openers"):
        read.only(one, frozenset({"client", "selectors"}), "openers")
        selectors = read.objects(one, "selectors")
        if not selectors or len(selectors) > read.MOST_LISTED:
            raise bad("openers.selectors", "at least one attested fact and its value")
        facts = {_fact(name): read.line(selectors, name) for name in selectors}
        found.append(Opener(read.word(one, "client"), facts))
    return tuple(found)


def phases(document: Document, offered: Collection[str]) -> tuple[Phase, ...]:
    """The phases in order, each within the one before: moving on only removes."""
    found: list[Phase] = []
    for one in read.each(document, "phases", most=MOST_PHASES):
        read.only(one, frozenset({"name", "grants"}), "phases")
        phase = Phase(read.word(one, "name"), _names_or_none(one, "grants"))
        within = found[-1].grants if found else offered
        if beyond := sorted(set(phase.grants) - set(within)):
            raise bad("phases", f"grants of the phase before, or of the charter; got `{beyond[0]}`")
        if phase.name in {earlier.name for earlier in found}:
            raise bad("phases", f"each name once, got `{phase.name}` twice")
        found.append(phase)
    return tuple(found)


def _names_or_none(one: Document, member: str) -> tuple[str, ...]:
    return () if one.get(member) == [] else tuple(sorted(set(read.words(one, member))))


def pins(document: Document) -> tuple[PinRule, ...]:
    """Facts that must stay as they were observed at opening."""
    found = []
    for one in read.each(document, "pins"):
        read.only(one, frozenset({"fact", "on_drift"}), "pins")
        found.append(PinRule(_fact(read.word(one, "fact")), _choice(one, "on_drift", OnDrift.END)))
    if len({pin.fact for pin in found}) < len(found):
        raise bad("pins", "each fact once")
    return tuple(found)


def _fact(name: str) -> str:
    return read.word({"fact": name}, "fact")


def budget(rule: Document) -> Budget:
    """How much may be used in all."""
    names = ("calls", "rows", "bytes", "cost")
    read.only(rule, frozenset(names), "budget")
    return Budget(*(read.whole(rule, name, least=1, most=read.MOST_COUNTED) for name in names))


def children(rule: Document) -> ChildRule:
    """How deep and how wide a family may grow."""
    read.only(rule, frozenset({"depth", "fan_out"}), "children")
    depth = read.whole(rule, "depth", least=0, most=MOST_DEPTH) or 0
    fan_out = read.whole(rule, "fan_out", least=0, most=MOST_CHILDREN) or 0
    if (depth == 0) != (fan_out == 0):
        raise bad("children", "`depth` and `fan_out`, or neither")
    return ChildRule(depth, fan_out)


def window(document: Document) -> WindowRule | None:
    """The calendars that say when a session may be."""
    if "window" not in document:
        return None
    rule = read.objects(document, "window")
    read.only(rule, frozenset({"calendar", "blackout", "on_close"}), "window")
    blackout = read.word(rule, "blackout") if "blackout" in rule else None
    return WindowRule(read.word(rule, "calendar"), blackout, _choice(rule, "on_close", OnClose.END))


def approval(document: Document) -> ApprovalRule | None:
    """Who must say yes before a session begins."""
    if "approval" not in document:
        return None
    rule = read.objects(document, "approval")
    read.only(rule, frozenset({"approvals", "approvers", "answer_within", "valid_for"}), "approval")
    approvals = read.whole(rule, "approvals", least=1, most=MOST_APPROVALS) or 1
    approvers = tuple(sorted(set(read.words(rule, "approvers"))))
    if OWNER not in approvers and len(approvers) < approvals:
        raise bad("approval.approvers", f"at least {approvals} people")
    return ApprovalRule(
        approvals, approvers, read.span(rule, "answer_within", "1h"), read.span(rule, "valid_for", "1h")
    )


def ends_on(document: Document) -> tuple[str, ...]:
    """The kinds of triggers that may end it."""
    return tuple(sorted(set(read.words(document, "ends_on")))) if "ends_on" in document else ()


def _choice(document: Document, member: str, default: E) -> E:
    kind = type(default)
    value = document.get(member, default.value)
    if not isinstance(value, str) or value not in {one.value for one in kind}:
        raise bad(member, " or ".join(f"`{one.value}`" for one in kind))
    return kind(value)
