"""A change: everything that one decision writes, as a value.

It lands whole or not at all. Rows are written only if their versions are still the ones
that were read; pinned rows must be unchanged; one-time marks must be new, and marks to be
spent must exist. Many changes may share one database transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sojourn.core.ids import ErrandId, LeaseId, SessionId, TargetId
from sojourn.core.record import Row, RowKind, Step


class ErrandKind(StrEnum):
    """Work that a commit made necessary."""

    DESTROY = "destroy"
    FREEZE = "freeze"
    NARROW = "narrow"


@dataclass(frozen=True, slots=True)
class Errand:
    """A piece of work recorded with the commit that made it necessary."""

    id: ErrandId
    kind: ErrandKind
    lease: LeaseId
    session: SessionId
    target: TargetId
    run_at: datetime
    attempts: int = 0


class RevocationKind(StrEnum):
    """What a revocation names: one session, or every session that carries an opaque id."""

    SESSION = "session"
    CLIENT = "client"
    OWNER = "owner"
    CHARTER = "charter"
    KEY = "key"  # the one a session is bound to
    EVERYTHING = "everything"
    SIGNER = "signer"  # one of ours, by its `kid`
    FAMILY = "family"  # a session with all its descendants, by the root


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens of `id` below `min_generation` are refused; None means every generation.

    Kept until `keep_until`: no token it concerns can be honoured later.
    """

    kind: RevocationKind
    id: str
    min_generation: int | None
    keep_until: datetime


@dataclass(frozen=True, slots=True)
class Once:
    """A mark that must not exist yet: a `jti`, an idempotency key, an invitation."""

    kind: str
    key: str
    expires_at: datetime
    value: str = ""


@dataclass(frozen=True, slots=True)
class Spend:
    """A mark that must exist and not be expired at `now`, and is gone afterwards."""

    kind: str
    key: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Pin:
    """A row that must still have this version when the change lands."""

    row: RowKind
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret kept beside the rows, under the name of what it belongs to.

    None takes away what was kept under that name.
    """

    name: str
    ciphertext: bytes | None


@dataclass(frozen=True, slots=True)
class Beat:
    """When a session was last heard of, and when its silence counts as missed; None: no beat is owed."""

    session: SessionId
    last: datetime
    missed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """What to write, all or nothing. `ending` changes go first in a batch."""

    steps: tuple[Step[Row], ...] = ()
    pins: tuple[Pin, ...] = ()
    errands: tuple[Errand, ...] = ()
    done: tuple[ErrandId, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    once: tuple[Once, ...] = ()
    spend: tuple[Spend, ...] = ()
    sealed: tuple[Sealed, ...] = ()
    beats: tuple[Beat, ...] = ()
    ending: bool = False


def pin(kind: RowKind, row: Row) -> Pin:
    """Hold `row` to the version it was read at."""
    return Pin(kind, row.id, row.version)
