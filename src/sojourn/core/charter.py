"""A task's template, approved once by its owner: the upper bound of every session of that task.

Who may open, which grants, for how long, with which heartbeat, budget and window, and what
ends it. What it does not allow is refused; what exceeds a bound is refused, never rounded.
A version, once applied, never changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sojourn.core.errors import Invalid, Refused
from sojourn.core.ids import CharterId, OwnerId
from sojourn.core.record import FactKind, RowKind, Step, born
from sojourn.core.scope import AudienceGrant, Grants, TargetGrant, choose
from sojourn.core.session import BeatRule


@dataclass(frozen=True, slots=True)
class Renewals:
    """How often a session may be renewed, and by how much each time."""

    times: int
    by: timedelta


@dataclass(frozen=True, slots=True)
class Opener:
    """A client that may open, if attested facts are exactly these."""

    client: str
    selectors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the work; going on to the next drops the grants that it does not name."""

    name: str
    grants: tuple[str, ...]


class OnDrift(StrEnum):
    """What becomes of a session whose pinned fact is seen to differ."""

    END = "end"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True)
class PinRule:
    """A fact observed at opening that must stay as it was."""

    fact: str
    on_drift: OnDrift = OnDrift.END


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a session may use in all; None is no limit."""

    calls: int | None = None
    rows: int | None = None
    bytes: int | None = None
    cost: int | None = None  # in a unit of the owner's choice


@dataclass(frozen=True, slots=True)
class ChildRule:
    """How many generations of child sessions, and how many children of one parent."""

    depth: int = 0
    fan_out: int = 0


class OnClose(StrEnum):
    """What becomes of a session when its change window closes."""

    END = "end"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True)
class WindowRule:
    """The calendars that say when: inside an event of `calendar`, outside those of `blackout`."""

    calendar: str
    blackout: str | None = None
    on_close: OnClose = OnClose.END


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """How many distinct people must say yes, who they may be, and for how long that holds.

    `approvers` are names of operators, or `owner`.
    """

    approvals: int
    approvers: tuple[str, ...]
    answer_within: timedelta
    valid_for: timedelta


@dataclass(frozen=True, slots=True)
class Charter:
    """One immutable version of a charter. `name` is the KIND of `--task KIND:REF`."""

    id: CharterId
    version: int  # of the row: always 1
    name: str
    number: int  # of the charter: 1, 2, 3 …
    owner: OwnerId
    clients: tuple[str, ...]  # names of the workloads that may open it
    grants: Grants
    default_duration: timedelta
    longest: timedelta
    beat: BeatRule
    renewals: Renewals
    applied_at: datetime
    applied_by: str
    purpose: str = ""
    openers: tuple[Opener, ...] = ()
    phases: tuple[Phase, ...] = ()  # in order; a session begins in the first
    idle: timedelta | None = None  # without a reported use for so long it ends
    pins: tuple[PinRule, ...] = ()
    budget: Budget = Budget()
    children: ChildRule = ChildRule()
    window: WindowRule | None = None
    approval: ApprovalRule | None = None
    ends_on: tuple[str, ...] = ()  # kinds of triggers whose signals may end it
    break_glass: bool = False  # for emergencies: short, loud, reviewed

    @property
    def label(self) -> str:
        """`name@number`, as tokens and facts carry it."""
        return f"{self.name}@{self.number}"

    def offered(self) -> dict[str, TargetGrant | AudienceGrant]:
        """The grants that a new session may have, by name: those of the first phase, or all."""
        first = self.phases[0].grants if self.phases else None
        return {g.name: g for g in self.grants.each() if first is None or g.name in first}


@dataclass(frozen=True, slots=True)
class Admission:
    """What the charter allowed: the bounds a session is born with."""

    grants: Grants
    duration: timedelta


def apply(charter: Charter) -> Step[Charter]:
    """The version is in force for sessions opened from now on."""
    return born(FactKind.CHARTER_APPLIED, RowKind.CHARTER, charter, charter.applied_at)


def may_open(charter: Charter, client_name: str, attested: Mapping[str, str]) -> bool:
    """Whether the charter names the client, as it is or with facts that were observed of it."""
    if client_name in charter.clients:
        return True
    return any(
        opener.client == client_name and opener.selectors.items() <= attested.items()
        for opener in charter.openers
    )


def admit(
    charter: Charter,
    client_name: str,
    wanted: Collection[str],
    duration: timedelta | None,
    *,
    attested: Mapping[str, str] | None = None,
) -> Admission:
    """Judge a request for a session against the charter; no grant named means all of them.

    `attested` are facts that an attestor observed, never what the workload says of itself.
    A charter with phases offers the grants of its first one.

    Raises:
        Refused: code `not_in_charter`; the client may not open sessions of this task.
        Invalid: code `unknown_grant` or `too_long`.
    """
    if not may_open(charter, client_name, attested or {}):
        raise Refused(
            "not_in_charter", f"client `{client_name}` may not open sessions of charter `{charter.name}`"
        )
    span = charter.default_duration if duration is None else duration
    if not timedelta(0) < span <= charter.longest:
        raise Invalid(
            "too_long", f"charter `{charter.label}` allows up to {charter.longest}, asked for {span}"
        )
    offered = charter.offered()
    if charter.phases:  # what only a later phase might need is not there: phases only remove
        offered = {name: offered[name] for name in charter.phases[0].grants}
    return Admission(choose(offered, wanted or offered), span)
