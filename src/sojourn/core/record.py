"""Rows, facts and steps: how every change of state carries its own record.

A row is an immutable value with an id and a version. A transition returns a `Step`: the
row as it is now, the version it was read at, and the facts that say what changed. Since a
fact holds exactly the members that changed, replaying facts rebuilds the rows (`replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from sojourn.core.ids import SessionId


class RowKind(StrEnum):
    """The state tables: what facts rebuild."""

    SESSION = "session"
    LEASE = "lease"
    CLIENT = "client"
    CHARTER = "charter"
    TARGET = "target"
    KILL = "kill"
    APPROVAL = "approval"
    TRIGGER = "trigger"
    POLICY = "policy"
    REVIEW = "review"
    KEY = "key"
    HOOK = "hook"


class FactKind(StrEnum):
    """The closed vocabulary of the journal: what can have happened."""

    SESSION_REQUESTED = "session.requested"
    SESSION_APPROVED = "session.approved"
    SESSION_PREPARED = "session.prepared"
    SESSION_ACTIVATED = "session.activated"
    SESSION_RENEWED = "session.renewed"
    SESSION_CHILD_OPENED = "session.child_opened"
    SESSION_NARROWED = "session.narrowed"
    SESSION_PHASE_ENTERED = "session.phase_entered"
    SESSION_SUSPENDED = "session.suspended"
    SESSION_RESUMED = "session.resumed"
    SESSION_ENDING = "session.ending"
    SESSION_ENDED = "session.ended"
    LEASE_PLANNED = "lease.planned"
    LEASE_ISSUED = "lease.issued"
    LEASE_UNSENT = "lease.unsent"
    LEASE_LOCATED = "lease.located"
    LEASE_FROZEN = "lease.frozen"
    LEASE_THAWED = "lease.thawed"
    LEASE_NARROWING = "lease.narrowing"
    LEASE_NARROWED = "lease.narrowed"
    LEASE_DESTROYING = "lease.destroying"
    LEASE_DESTROYED = "lease.destroyed"
    LEASE_STUCK = "lease.stuck"
    CLIENT_REGISTERED = "client.registered"
    CLIENT_REMOVED = "client.removed"
    CHARTER_APPLIED = "charter.applied"
    POLICY_APPLIED = "policy.applied"
    REVIEW_OWED = "review.owed"
    REVIEW_DONE = "review.done"
    TARGET_ADDED = "target.added"
    TARGET_PREFLIGHTED = "target.preflighted"
    TARGET_CREDENTIAL_REPLACED = "target.credential_replaced"
    TARGET_DRAINING = "target.draining"
    TARGET_REMOVED = "target.removed"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_ANSWERED = "approval.answered"
    APPROVAL_GRANTED = "approval.granted"
    APPROVAL_DENIED = "approval.denied"
    APPROVAL_WITHDRAWN = "approval.withdrawn"
    TRIGGER_ADDED = "trigger.added"
    TRIGGER_REMOVED = "trigger.removed"
    HOOK_ADDED = "hook.added"
    HOOK_REMOVED = "hook.removed"
    HOOK_LINKED = "hook.linked"
    HOOK_UNLINKED = "hook.unlinked"
    KILL_ORDERED = "kill.ordered"
    KILL_NUMBERED = "kill.numbered"
    KILL_FINISHED = "kill.finished"
    KEY_MADE = "key.made"
    KEY_ACTIVATED = "key.activated"
    KEY_RETIRED = "key.retired"
    KEY_REVOKED = "key.revoked"


class Row(Protocol):
    """What every state row has. `version` counts its changes from 1."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...


R = TypeVar("R", bound=Row)
R_co = TypeVar("R_co", bound=Row, covariant=True)

Reads = Callable[[Any], tuple[object, ...]]
Writes = tuple[tuple[str, Callable[[object, object], None]], ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, in the past tense, with the members it changed.

    `session` is the session it belongs to, if any; the store gives it its number within
    that session and its index in the journal when it commits. `notes` are said for the
    reader and rebuild nothing.
    """

    kind: FactKind
    row: RowKind
    id: str
    session: SessionId | None
    at: datetime
    changes: Mapping[str, object]
    notes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step(Generic[R_co]):
    """A row after a transition, the version it was read at (0: new), and the facts."""

    row: R_co
    read_version: int
    facts: tuple[Fact, ...] = ()

    def then(self: Step[R], following: Step[R]) -> Step[R]:
        """This step and `following`, which began where this one ended, as one."""
        return Step(following.row, self.read_version, self.facts + following.facts)


def unchanged(row: R) -> Step[R]:
    """A step that goes nowhere: no fact, no write."""
    return Step(row, row.version)


def born(
    kind: FactKind,
    row_kind: RowKind,
    row: R,
    at: datetime,
    *,
    session: SessionId | None = None,
    notes: Mapping[str, object] | None = None,
) -> Step[R]:
    """A new row, recorded whole, with notes for the reader."""
    changes = {f.name: getattr(row, f.name) for f in fields(row)}  # type: ignore[arg-type]
    return Step(row, 0, (Fact(kind, row_kind, row.id, session, at, changes, notes or {}),))


def moved(kind: FactKind, row_kind: RowKind, row: R, at: datetime, **change: object) -> Step[R]:
    """`row` with `change` applied and its version raised; the fact holds the same members.

    The row's `session` member, or its own id when it is a session, says where it belongs.
    """
    return noted(kind, row_kind, row, at, change, {})


def noted(
    kind: FactKind,
    row_kind: RowKind,
    row: R,
    at: datetime,
    change: Mapping[str, object],
    notes: Mapping[str, object],
) -> Step[R]:
    """As `moved`, with notes for the reader beside the change."""
    everything = {**change, "version": row.version + 1}
    after = apply(row, everything)
    return Step(
        after, row.version, (Fact(kind, row_kind, row.id, _session_of(row_kind, row), at, everything, notes),)
    )


def apply(row: R, changes: Mapping[str, object]) -> R:
    """`row` after `changes`: what a transition does, and what replay does again.

    What stays is copied as it is, past the constructor: of a large row most members stay, and
    they were judged when they were made.

    Raises:
        TypeError: a change names no member of the row.
    """
    names, read, write = _members(type(row))
    if not names.issuperset(changes):
        raise TypeError(f"expected members of {type(row).__name__}, got {sorted(changes)}")
    after = object.__new__(type(row))
    for (name, put), value in zip(write, read(row), strict=True):
        put(after, changes.get(name, value))
    return after


@cache
def _members(kind: type) -> tuple[frozenset[str], Reads, Writes]:
    names = tuple(f.name for f in fields(kind))
    return frozenset(names), attrgetter(*names), tuple((name, getattr(kind, name).__set__) for name in names)


def _session_of(kind: RowKind, row: Row) -> SessionId | None:
    if kind is RowKind.SESSION:
        return SessionId(row.id)
    if kind in (RowKind.LEASE, RowKind.APPROVAL):
        session: SessionId | None = getattr(row, "session")  # noqa: B009 - only these have it
        return session
    return None
