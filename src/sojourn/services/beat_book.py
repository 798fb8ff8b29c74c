"""Heartbeats in memory, written to the store once a second: a beat is no fact.

A crash forgets at most the last second of beats; each session is then given one beat
timeout from the restart.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.core.deadlines import beat_deadline
from sojourn.core.ids import SessionId
from sojourn.core.session import Session
from sojourn.ports.store import Store

MOST_KEPT: Final = 100_000
"""More sessions than one deployment serves; beyond it the oldest beats are written at once."""


class BeatBook:
    """Who was heard, and not yet written down."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heard: dict[SessionId, tuple[datetime, datetime | None]] = {}

    async def note(self, session: Session, now: datetime) -> None:
        """Remember that `session` was heard at `now`."""
        if len(self._heard) >= MOST_KEPT:
            await self.flush()
        self._heard[session.id] = (now, beat_deadline(session, now))

    def last(self, session: SessionId) -> datetime | None:
        """A beat that the store may not know of yet."""
        heard = self._heard.get(session)
        return heard[0] if heard else None

    async def flush(self) -> int:
        """Write every remembered beat; what cannot be written is kept for the next time."""
        if not self._heard:
            return 0
        written = dict(self._heard)
        await self._store.note_beats([(session, last, missed) for session, (last, missed) in written.items()])
        for session, entry in written.items():
            if self._heard.get(session) == entry:  # a beat that came meanwhile stays
                del self._heard[session]
        return len(written)
