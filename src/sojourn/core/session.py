"""What a session is, its transition table, and one function for each transition.

    requested ──> approved ──> active <──> suspended
        │             │           │            │
        │             └───────────┴────────────┴──> revoking ──> ended
        └──────────────────────────────────────────────────────> ended

Every transition returns a `Step`; nothing outside `NEXT` can happen, here or in the
database. Expiry is judged before the stored state: `is_live` asks the window first. Only
the exact state `active` permits anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Refused
from sojourn.core.ids import ClientId, OwnerId, SessionId
from sojourn.core.record import FactKind, RowKind, Step, born, moved, noted, unchanged
from sojourn.core.scope import Grants, retemplate
from sojourn.core.window import Window


class State(StrEnum):
    """Where a session is in its life."""

    REQUESTED = "requested"
    APPROVED = "approved"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKING = "revoking"
    ENDED = "ended"


NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.REQUESTED: frozenset({State.APPROVED, State.ENDED}),
    State.APPROVED: frozenset({State.ACTIVE, State.REVOKING}),
    State.ACTIVE: frozenset({State.SUSPENDED, State.REVOKING}),
    State.SUSPENDED: frozenset({State.ACTIVE, State.REVOKING}),
    State.REVOKING: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
}

LEAVING: Final = frozenset({State.REVOKING, State.ENDED})


@dataclass(frozen=True, slots=True)
class Task:
    """The work a session exists for: `kind` picks the charter, `ref` names this one run."""

    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class BeatRule:
    """How often the workload must show that it lives, with what, and what silence does.

    `evidence` is `key` (a proof by the bound key suffices) or `fresh` (every beat brings new
    evidence of the session's attestor).
    """

    every: timedelta
    missed_after: timedelta
    suspend_first: bool = False
    evidence: str = "key"


@dataclass(frozen=True, slots=True)
class Session:
    """One machine's access: one identity, one task, one window, one context, one scope."""

    id: SessionId
    version: int
    state: State
    client: ClientId
    owner: OwnerId
    task: Task
    charter: str  # name@version
    key: str  # RFC 7638 SHA-256 thumbprint of the workload's bound key
    grants: Grants
    window: Window
    last_end: datetime  # no renewal passes it
    renewals_left: int
    renew_by: timedelta  # what one renewal adds
    beat: BeatRule
    activate_by: datetime
    generation: int
    context: Mapping[str, str]  # pinned facts of the execution context
    requested_at: datetime
    ancestors: tuple[SessionId, ...] = ()  # the parent last
    cause: Cause | None = None
    refused_at: datetime | None = None  # when its end began: guards refuse from here on
    ended_at: datetime | None = None  # when its last credential was proven gone
    phase: str | None = None  # of the charter's phases; None where it has none
    attestor: str = "private_key_jwt"  # the kind of evidence it was opened with
    status_list: str | None = None  # where checkers without a feed find its status
    status_index: int | None = None
    mark_n: int = 0  # the feed number read before it was asked for: later selector kills concern it
    client_name: str = ""  # what policies call the client; it keeps its name for life
    pauses_at: datetime | None = None  # when its change window closes and it is to be suspended
    break_glass: bool = False  # opened in an emergency, so its use is reviewed by a person
    idle: timedelta | None = None  # without a reported use for so long it ends
    drifts: int = 0  # how often a pinned fact was seen to differ
    supersedes: SessionId | None = None  # the session whose place it takes when it is active


def request(session: Session, unknown_claims: tuple[str, ...] = ()) -> Step[Session]:
    """A session has been asked for; nothing is granted yet. Claims that nothing checks are named."""
    notes = {"unknown_claims": unknown_claims} if unknown_claims else None
    return born(
        FactKind.SESSION_REQUESTED,
        RowKind.SESSION,
        session,
        session.requested_at,
        session=session.id,
        notes=notes,
    )


def approve(
    session: Session, by: str, now: datetime, notes: Mapping[str, object] | None = None
) -> Step[Session]:
    """Say yes, as `by` (a charter or a person), with what decided it as notes."""
    noted_too = {"by": by, **(notes or {})}
    return _move(session, State.APPROVED, FactKind.SESSION_APPROVED, now, notes=noted_too)


def approve_until(
    session: Session, by: str, bounds: tuple[datetime, datetime, datetime], now: datetime
) -> Step[Session]:
    """Say yes as people, late: its window begins now. `bounds`: it closes, its last end, activate by.

    Raises:
        Conflict: code `wrong_state`.
        Refused: code `would_widen`; beyond what was asked for.
    """
    closes, last_end, activate_by = bounds
    window = Window(now, closes)
    if not window.within(session.window) or last_end > session.last_end:
        raise Refused("would_widen", "the approved window lies beyond the requested one")
    change = {"window": window, "last_end": last_end, "activate_by": min(activate_by, closes)}
    return _move(session, State.APPROVED, FactKind.SESSION_APPROVED, now, change, notes={"by": by})


def prepare(session: Session, now: datetime) -> Step[Session]:
    """Its leases are being planned: committed with them, so that a racing end reads again.

    Without a new version an end that read no leases could land after they were planned.

    Raises:
        Conflict: code `wrong_state`; only an approved session is prepared.
        Refused: code `window_closed`.
    """
    if session.state is not State.APPROVED:
        raise Conflict("wrong_state", f"expected an approved session, it is `{session.state}`")
    _require_open(session, now)
    return moved(FactKind.SESSION_PREPARED, RowKind.SESSION, session, now)


def activate(session: Session, now: datetime, *, status: tuple[str, int] | None = None) -> Step[Session]:
    """Every credential exists: the workload may act; `status` is its place in a status list."""
    _require_open(session, now)
    place = {} if status is None else {"status_list": status[0], "status_index": status[1]}
    return _move(session, State.ACTIVE, FactKind.SESSION_ACTIVATED, now, place)


def suspend(session: Session, cause: Cause, now: datetime) -> Step[Session]:
    """Freeze: earlier tokens die with the generation; deadlines run on."""
    change: dict[str, object] = {"generation": session.generation + 1, "cause": cause}
    if cause.reason is Reason.CONTEXT_CHANGED:
        change["drifts"] = session.drifts + 1
    return _move(session, State.SUSPENDED, FactKind.SESSION_SUSPENDED, now, change)


def resume(session: Session, now: datetime, pauses_at: datetime | None = None) -> Step[Session]:
    """Thaw after re-attestation, under a new generation, until its change window closes again."""
    if session.state is not State.SUSPENDED:
        raise Conflict("wrong_state", f"expected a suspended session, it is `{session.state}`")
    _require_open(session, now)
    change: dict[str, object] = {"generation": session.generation + 1, "cause": None}
    if pauses_at != session.pauses_at:
        change["pauses_at"] = pauses_at
    return _move(session, State.ACTIVE, FactKind.SESSION_RESUMED, now, change)


def narrow(session: Session, grants: Grants, window: Window, now: datetime) -> Step[Session]:
    """Shrink scope or window; tokens of the earlier generation die.

    Raises:
        Refused: code `would_widen`; something would be added.
        Conflict: code `wrong_state`; the session is leaving or not approved yet.
    """
    if session.state not in (State.APPROVED, State.ACTIVE, State.SUSPENDED):
        raise Conflict("wrong_state", f"a session that is `{session.state}` cannot be narrowed")
    if not (grants.within(session.grants) and window.within(session.window)):
        raise Refused("would_widen", "narrowing only removes; ask for a new session to get more")
    if grants == session.grants and window == session.window:
        return unchanged(session)
    return moved(
        FactKind.SESSION_NARROWED,
        RowKind.SESSION,
        session,
        now,
        grants=grants,
        window=window,
        last_end=min(session.last_end, window.closes) if window != session.window else session.last_end,
        generation=session.generation + 1,
    )


def lower(session: Session, templates: Mapping[str, str], now: datetime) -> Step[Session]:
    """Make downstream grants of a lesser template each; the caller has it on the provider's word.

    Raises:
        Invalid: code `unknown_grant`.
        Conflict: code `wrong_state`; the session is leaving or not approved yet.
    """
    if session.state not in (State.APPROVED, State.ACTIVE, State.SUSPENDED):
        raise Conflict("wrong_state", f"a session that is `{session.state}` cannot be narrowed")
    grants = retemplate(session.grants, templates)
    if grants == session.grants:
        return unchanged(session)
    change = {"grants": grants, "generation": session.generation + 1}
    return moved(FactKind.SESSION_NARROWED, RowKind.SESSION, session, now, **change)


def enter_phase(session: Session, phase: str, now: datetime) -> Step[Session]:
    """The work has come to `phase`; what it no longer needs was taken away before.

    Raises:
        Conflict: code `wrong_state`; only an active session goes on to another phase.
    """
    _require_live(session, now)
    if session.phase == phase:
        return unchanged(session)
    return moved(FactKind.SESSION_PHASE_ENTERED, RowKind.SESSION, session, now, phase=phase)


def renew(session: Session, now: datetime, *, within: Window | None = None) -> Step[Session]:
    """Move the end later by one renewal, never beyond `last_end` nor, for a child, its parent's window.

    Raises:
        Refused: code `no_renewal_left`.
    """
    _require_live(session, now)
    closes = min(session.window.closes + session.renew_by, session.last_end)
    if within is not None:
        closes = min(closes, within.closes)
    if session.renewals_left < 1 or closes <= session.window.closes:
        raise Refused(
            "no_renewal_left",
            f"the session ends at `{session.window.closes:%H:%M:%SZ}` and may not be renewed",
        )
    window = Window(session.window.opens, closes)
    return moved(
        FactKind.SESSION_RENEWED,
        RowKind.SESSION,
        session,
        now,
        window=window,
        renewals_left=session.renewals_left - 1,
    )


def begin_end(session: Session, cause: Cause, now: datetime) -> Step[Session]:
    """Begin to take the session's access away.

    The first cause wins: a session already revoking or ended comes back unchanged, with no
    fact. A session that never left `requested` holds nothing to destroy and ends at once.
    """
    if session.state in LEAVING:
        return unchanged(session)
    if session.state is State.REQUESTED:
        change = {"cause": cause, "refused_at": now, "ended_at": now}
        return _move(session, State.ENDED, FactKind.SESSION_ENDED, now, change)
    return _move(session, State.REVOKING, FactKind.SESSION_ENDING, now, {"cause": cause, "refused_at": now})


def finish_end(session: Session, now: datetime) -> Step[Session]:
    """Nothing is left of the session: its last lease is destroyed.

    The caller has seen every lease destroyed, and pins them in the same commit.

    Raises:
        Conflict: code `wrong_state`; its end has not begun, so it would have no cause.
    """
    if session.state is not State.REVOKING:
        raise Conflict("wrong_state", f"expected a session that is leaving, it is `{session.state}`")
    return _move(session, State.ENDED, FactKind.SESSION_ENDED, now, {"ended_at": now})


def is_live(session: Session, now: datetime) -> bool:
    """Whether the session permits anything at `now`; expiry first, then the exact state."""
    return session.window.holds(now) and now < acts_until(session) and session.state is State.ACTIVE


def acts_until(session: Session) -> datetime:
    """When time alone stops it: its window closes, or a change window that suspends does."""
    closes = session.window.closes
    return closes if session.pauses_at is None else min(closes, session.pauses_at)


def reason_of(session: Session) -> Reason | None:
    """Why it was suspended or ended, if it was."""
    return session.cause.reason if session.cause else None


def _require_open(session: Session, now: datetime) -> None:
    if not session.window.holds(now):
        raise Refused("window_closed", "the session's window does not hold now")


def _require_live(session: Session, now: datetime) -> None:
    _require_open(session, now)
    if session.state is not State.ACTIVE:
        raise Conflict("wrong_state", f"expected an active session, it is `{session.state}`")


def _move(
    session: Session,
    to: State,
    kind: FactKind,
    now: datetime,
    change: Mapping[str, object] | None = None,
    *,
    notes: Mapping[str, object] | None = None,
) -> Step[Session]:
    if to not in NEXT[session.state]:
        raise Conflict("wrong_state", f"a session that is `{session.state}` cannot become `{to}`")
    return noted(kind, RowKind.SESSION, session, now, {"state": to, **(change or {})}, notes or {})
