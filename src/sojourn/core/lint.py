"""What a careful reader would say of a charter, each with the controls that it touches.

Findings are advice: nothing here refuses a charter. Ids are those of NIST CSF 2.0, SP 800-53
Rev. 5, the OWASP NHI Top 10 2025 and the OWASP list for agentic applications 2026.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from sojourn.core.charter import Charter
from sojourn.core.scope import AudienceGrant, TargetGrant

LONG: Final = timedelta(hours=8)
LONG_WITHOUT_IDLE: Final = timedelta(hours=1)
LONGEST_WITH_D: Final = timedelta(minutes=15)
LONG_SILENCE: Final = timedelta(minutes=5)
ENOUGH_HISTORY: Final = 10
_MUCH: Final = 4  # a bound this many times what 19 of 20 sessions needed is loose
_NOBODY: Final = frozenset({"unknown", "nobody", "none", "todo", "tbd", "n/a", "na", "-", "?"})


class Weight(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that should be mended."""

    rule: str
    weight: Weight
    where: str
    says: str
    cites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What a server knows beside the charter; None where nobody asked one."""

    classes: Mapping[str, str] | None = None  # revocation class by target
    owners: Collection[str] | None = None
    durations: Mapping[str, Sequence[timedelta]] = field(default_factory=dict)  # lived, by charter


# What each rule means, and the controls that it touches: `docs/reference/policy.md` lists the same.
CITES: Final[Mapping[str, tuple[str, ...]]] = {
    "long-lifetime": ("PR.AA-05", "AC-2(2)", "AC-12", "NHI7:2025"),
    "loose-lifetime": ("PR.AA-05", "AC-6(7)", "NHI5:2025", "NHI7:2025"),
    "no-idle": ("AC-2(5)", "AC-12"),
    "long-silence": ("DE.CM-09", "AC-12", "ASI10"),
    "nobody-owns": ("PR.AA-01", "AC-2", "NHI1:2025"),
    "no-purpose": ("PR.AA-05", "AC-2(11)"),
    "wildcard": ("PR.AA-05", "AC-6", "NHI5:2025", "ASI03"),
    "weak-class": ("AC-12", "AC-3(8)", "NHI1:2025"),
    "class-unstated": ("AC-12", "AC-3(8)"),
    "unreachable-grant": ("PR.AA-05", "AC-6(7)", "NHI5:2025"),
    "unattended-approval": ("PR.AA-05", "AC-5", "ASI09"),
    "no-permit": ("PR.AA-05", "AC-3"),
    "unreachable-policy": ("PR.AA-05", "AC-3", "CM-3"),
    "unknown-name": ("PR.AA-05", "CM-3"),
    "constant-condition": ("PR.AA-05", "CM-3"),
    "not-valid": ("PR.AA-05", "CM-3"),
}


def found(rule: str, weight: Weight, where: str, says: str) -> Finding:
    """A finding with the controls of its rule."""
    return Finding(rule, weight, where, says, CITES[rule])


def of_charter(charter: Charter, known: Known) -> Iterator[Finding]:
    """What should be mended in a charter."""
    where = f"charter {charter.name}"
    yield from _lifetimes(charter, known, where)
    yield from _people(charter, known, where)
    yield from _grants(charter, known, where)


def _lifetimes(charter: Charter, known: Known, where: str) -> Iterator[Finding]:
    longest = charter.longest
    if longest > LONG:
        says = f"sessions may last {longest}, more than a day's work"
        yield found("long-lifetime", Weight.WARNING, where, says)
    if charter.idle is None and longest > LONG_WITHOUT_IDLE:
        yield found("no-idle", Weight.WARNING, where, f"sessions of up to {longest} never end for being idle")
    if charter.beat.missed_after > LONG_SILENCE:
        silence = charter.beat.missed_after
        yield found("long-silence", Weight.WARNING, where, f"a dead workload keeps its access for {silence}")
    lived = sorted(known.durations.get(charter.name, ()))
    if len(lived) >= ENOUGH_HISTORY:
        usual = lived[(len(lived) * 19 - 1) // 20]
        if usual * _MUCH < longest:
            says = f"19 of 20 of {len(lived)} sessions lasted {usual} at most; {longest} is allowed"
            yield found("loose-lifetime", Weight.WARNING, where, says)


def _people(charter: Charter, known: Known, where: str) -> Iterator[Finding]:
    owner = charter.owner.strip().lower()
    if owner in _NOBODY or (known.owners is not None and charter.owner not in known.owners):
        yield found(
            "nobody-owns", Weight.ERROR, where, f"nobody known answers to the owner `{charter.owner}`"
        )
    if not charter.purpose:
        yield found("no-purpose", Weight.WARNING, where, "it does not say what it is for")
    if charter.approval and set(charter.approval.approvers) <= set(charter.clients):
        yield found("unattended-approval", Weight.ERROR, where, "those who ask are those who approve")


def _grants(charter: Charter, known: Known, where: str) -> Iterator[Finding]:
    offered = charter.offered()
    for grant in charter.grants.each():
        place = f"{where}, grant {grant.name}"
        if grant.name not in offered:
            yield found("unreachable-grant", Weight.WARNING, place, "the first phase does not name it")
        if isinstance(grant, AudienceGrant):
            if "*" in grant.audience or any("*" in action for action in grant.actions):
                yield found("wildcard", Weight.ERROR, place, "`*` says nothing: name each action")
        else:
            yield from _class(charter, grant, known, place)
    for opener in charter.openers:
        place = f"{where}, opener {opener.client}"
        for name, value in opener.selectors.items():
            if "*" in value:
                yield found("wildcard", Weight.ERROR, place, f"`{name}: {value}` is matched to the letter")


def _class(charter: Charter, grant: TargetGrant, known: Known, place: str) -> Iterator[Finding]:
    weakest = (known.classes or {}).get(grant.target, grant.at_least)
    if weakest == "D" and charter.longest > LONGEST_WITH_D:
        says = f"in class D only expiry ends it, and it may last {charter.longest}"
        yield found("weak-class", Weight.ERROR, place, says)
    if weakest is None and charter.longest > LONGEST_WITH_D:
        yield found("class-unstated", Weight.WARNING, place, "`at_least` does not say how well it must end")
