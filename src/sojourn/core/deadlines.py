"""Every way time ends a session, in one table, and the next one due.

The missed heartbeat is not in the table: beats are counted in a working table, because a
beat is no fact (`beat_deadline` says when silence becomes an end).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from sojourn.core.ending import Reason
from sojourn.core.session import Session, State


def _not_activated(session: Session) -> datetime | None:
    waiting = session.state in (State.REQUESTED, State.APPROVED)
    return session.activate_by if waiting else None


def _window_closes(session: Session) -> datetime | None:
    return session.window.closes


DEADLINES: Final[Mapping[Reason, Callable[[Session], datetime | None]]] = {
    Reason.NOT_ACTIVATED: _not_activated,
    Reason.WINDOW_CLOSED: _window_closes,
}

_LIVING: Final = frozenset({State.REQUESTED, State.APPROVED, State.ACTIVE, State.SUSPENDED})


def next_due(session: Session) -> datetime | None:
    """When time alone will end or suspend the session; None once it is leaving."""
    if session.state not in _LIVING:
        return None
    due = [at for rule in DEADLINES.values() if (at := rule(session)) is not None]
    if (pause := pause_due(session)) is not None:
        due.append(pause)
    return min(due)


def pause_due(session: Session) -> datetime | None:
    """When the close of its change window will suspend the session; None if none will."""
    return session.pauses_at if session.state is State.ACTIVE else None


def overdue(session: Session, now: datetime) -> Reason | None:
    """The reason for which time has ended the session by `now`, if it has."""
    if session.state not in _LIVING:
        return None
    due = [
        (at, reason) for reason, rule in DEADLINES.items() if (at := rule(session)) is not None and at <= now
    ]
    return min(due)[1] if due else None


def beat_deadline(session: Session, last_beat: datetime) -> datetime | None:
    """When silence since `last_beat` counts as missed; None while no beat is owed."""
    if session.state is not State.ACTIVE:
        return None
    return last_beat + session.beat.missed_after
