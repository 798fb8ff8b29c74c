"""A task's template, approved once by its owner: the upper bound of every session of that task.

In this version the charter is also the policy: who may open, which grants, for how long,
with which heartbeat and how many renewals. What it does not allow is refused; what exceeds a
bound is refused, never rounded. A version, once applied, never changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

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

    @property
    def label(self) -> str:
        """`name@number`, as tokens and facts carry it."""
        return f"{self.name}@{self.number}"

    def offered(self) -> dict[str, TargetGrant | AudienceGrant]:
        """Its grants by name."""
        return {g.name: g for g in self.grants.each()}


@dataclass(frozen=True, slots=True)
class Admission:
    """What the charter allowed: the bounds a session is born with."""

    grants: Grants
    duration: timedelta


def apply(charter: Charter) -> Step[Charter]:
    """The version is in force for sessions opened from now on."""
    return born(FactKind.CHARTER_APPLIED, RowKind.CHARTER, charter, charter.applied_at)


def admit(
    charter: Charter, client_name: str, wanted: Collection[str], duration: timedelta | None
) -> Admission:
    """Judge a request for a session against the charter; no grant named means all of them.

    Raises:
        Refused: code `not_in_charter`; the client may not open sessions of this task.
        Invalid: code `unknown_grant` or `too_long`.
    """
    if client_name not in charter.clients:
        raise Refused(
            "not_in_charter", f"client `{client_name}` may not open sessions of charter `{charter.name}`"
        )
    span = charter.default_duration if duration is None else duration
    if not timedelta(0) < span <= charter.longest:
        raise Invalid(
            "too_long", f"charter `{charter.label}` allows up to {charter.longest}, asked for {span}"
        )
    offered = charter.offered()
    return Admission(choose(offered, wanted or offered), span)
