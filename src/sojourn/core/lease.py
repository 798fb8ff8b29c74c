"""The record of one downstream credential, its transition table, and the issue fence.

    planned ──> issued <──> frozen
       │          │           │
       └──────────┴───────────┴──> destroying ──> destroyed

A lease is planned before anything is sent. `destroyed` means: observed absent when no issue
can still land. A send that was answered can land no more; one whose answer was lost, or
that a crash left unknown, can land until `issue_by` passes, because the target itself
refuses it afterwards. Until then an observed absence proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sojourn.core.errors import Conflict
from sojourn.core.ids import LeaseId, SessionId, TargetId
from sojourn.core.record import FactKind, RowKind, Step, born, moved, noted, unchanged


class LeaseState(StrEnum):
    """Where a downstream credential is in its life."""

    PLANNED = "planned"
    ISSUED = "issued"
    FROZEN = "frozen"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


NEXT: Final[Mapping[LeaseState, frozenset[LeaseState]]] = {
    LeaseState.PLANNED: frozenset({LeaseState.ISSUED, LeaseState.DESTROYING}),
    LeaseState.ISSUED: frozenset({LeaseState.FROZEN, LeaseState.DESTROYING}),
    LeaseState.FROZEN: frozenset({LeaseState.ISSUED, LeaseState.DESTROYING}),
    LeaseState.DESTROYING: frozenset({LeaseState.DESTROYED}),
    LeaseState.DESTROYED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Residual:
    """What cannot be taken back yet: where, until when (None: unknown), and who answers for it."""

    place: str
    until: datetime | None
    owner: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What a target itself counted of the use of one credential: statements, and rows sent or changed."""

    calls: int
    rows: int


@dataclass(frozen=True, slots=True)
class Lease:
    """One credential that may exist in a target."""

    id: LeaseId
    version: int
    state: LeaseState
    session: SessionId
    target: TargetId
    target_name: str
    grant: str
    template: str
    handle: str
    revocation_class: str
    issue_by: datetime
    expires_at: datetime
    settled: bool = False  # the last send (issue or thaw) was answered, or never left us
    target_ref: str | None = None  # the target's immutable id of it
    residual: Residual | None = None
    destroyed_at: datetime | None = None
    method: str | None = None  # how its absence was observed
    keeps: bool = False  # a secret of it is sealed until it is gone
    narrowing: str | None = None  # the template of which something may still be in force at the target
    used: Counted | None = None  # what its target counted, told at its end; None: unknown


def plan(lease: Lease, now: datetime) -> Step[Lease]:
    """Record what may come to exist, before it is sent."""
    return born(FactKind.LEASE_PLANNED, RowKind.LEASE, lease, now, session=lease.session)


def issued(lease: Lease, target_ref: str, now: datetime, *, keeps: bool = False) -> Step[Lease]:
    """The target answered that it made the credential."""
    change = {"target_ref": target_ref, "settled": True, **({"keeps": True} if keeps else {})}
    return _move(lease, LeaseState.ISSUED, FactKind.LEASE_ISSUED, now, change)


def settle(lease: Lease, target_ref: str | None, now: datetime, *, keeps: bool = False) -> Step[Lease]:
    """The one send is over: answered (with `target_ref`), or it never left us.

    Recorded for a lease that is already being destroyed, so that an absence counts at once.
    """
    if lease.settled or lease.state is LeaseState.DESTROYED:
        return unchanged(lease)
    kind = FactKind.LEASE_LOCATED if target_ref else FactKind.LEASE_UNSENT
    kept = {"keeps": True} if keeps else {}
    return moved(
        kind, RowKind.LEASE, lease, now, settled=True, target_ref=target_ref or lease.target_ref, **kept
    )


def located(lease: Lease, target_ref: str, now: datetime) -> Step[Lease]:
    """Its immutable id became known; recorded before anything is removed."""
    if lease.target_ref == target_ref:
        return unchanged(lease)
    return moved(FactKind.LEASE_LOCATED, RowKind.LEASE, lease, now, target_ref=target_ref)


def frozen(lease: Lease, method: str, now: datetime) -> Step[Lease]:
    """Observed without login and without live work, when no thaw can still land."""
    return _move(lease, LeaseState.FROZEN, FactKind.LEASE_FROZEN, now, notes={"method": method})


def thaw(lease: Lease, thaw_by: datetime, now: datetime) -> Step[Lease]:
    """Record that it will be usable again, before that is sent; `thaw_by` is the new fence."""
    change = {"issue_by": thaw_by, "settled": False}
    return _move(lease, LeaseState.ISSUED, FactKind.LEASE_THAWED, now, change)


def begin_narrow(lease: Lease, template: str, now: datetime) -> Step[Lease]:
    """From here on it may do no more than `template` says; the target is told afterwards."""
    if lease.template == template or lease.state in (LeaseState.DESTROYING, LeaseState.DESTROYED):
        return unchanged(lease)
    change = {"template": template, "narrowing": lease.narrowing or lease.template}
    return moved(FactKind.LEASE_NARROWING, RowKind.LEASE, lease, now, **change)


def narrowed(lease: Lease, method: str, now: datetime) -> Step[Lease]:
    """The target has taken away whatever `template` does not say."""
    if lease.narrowing is None:
        return unchanged(lease)
    change = {"narrowing": None, "residual": None}
    return noted(FactKind.LEASE_NARROWED, RowKind.LEASE, lease, now, change, {"method": method})


def begin_destroy(lease: Lease, now: datetime) -> Step[Lease]:
    """From here on it is to be taken away; asking twice changes nothing."""
    if lease.state in (LeaseState.DESTROYING, LeaseState.DESTROYED):
        return unchanged(lease)
    return _move(lease, LeaseState.DESTROYING, FactKind.LEASE_DESTROYING, now)


def absence_counts(lease: Lease, observed_from: datetime) -> bool:
    """Whether an observation begun at `observed_from` can prove that it is gone for good."""
    return lease.settled or observed_from >= lease.issue_by


def is_over(until: datetime, observed_from: datetime, tolerance: timedelta) -> bool:
    """Whether a credential that ends by itself at `until` had ended, by any clock we tolerate."""
    return observed_from >= until + tolerance


def destroyed(
    lease: Lease, method: str, observed_from: datetime, now: datetime, *, used: Counted | None = None
) -> Step[Lease]:
    """Its absence was observed, begun at `observed_from`, when no issue could still land.

    Or it had ended by itself, at an instant its target had named; `method` then says so. `used` is
    what its target counted until then.

    Raises:
        Conflict: code `fence`; the absence proves nothing yet.
    """
    if not absence_counts(lease, observed_from):
        raise Conflict("fence", "an issue may still land; observe again after `issue_by`")
    change: dict[str, object] = {"destroyed_at": now, "method": method, "residual": None, "settled": True}
    if lease.keeps:
        change["keeps"] = False
    if used is not None:
        change["used"] = used
    notes = {"observed_at": observed_from}
    return _move(lease, LeaseState.DESTROYED, FactKind.LEASE_DESTROYED, now, change, notes=notes)


def stuck(lease: Lease, residual: Residual, now: datetime) -> Step[Lease]:
    """The target does not yield: say where something is left, until when, and whose it is."""
    going = lease.state is LeaseState.DESTROYING or lease.narrowing is not None
    if not going or lease.residual == residual:
        return unchanged(lease)
    return moved(FactKind.LEASE_STUCK, RowKind.LEASE, lease, now, residual=residual)


def _move(
    lease: Lease,
    to: LeaseState,
    kind: FactKind,
    now: datetime,
    change: Mapping[str, object] | None = None,
    *,
    notes: Mapping[str, object] | None = None,
) -> Step[Lease]:
    if to not in NEXT[lease.state]:
        raise Conflict("wrong_state", f"a lease that is `{lease.state}` cannot become `{to}`")
    return noted(kind, RowKind.LEASE, lease, now, {"state": to, **(change or {})}, notes or {})
