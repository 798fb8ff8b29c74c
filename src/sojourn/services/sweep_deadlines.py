"""End whatever time has ended: windows, approvals nobody used, and silence."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.core.deadlines import beat_deadline, overdue, pause_due
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, NotFound
from sojourn.core.ids import SessionId
from sojourn.core.session import LEAVING, Session
from sojourn.ports.clock import Clock
from sojourn.ports.store import Overdue, Store
from sojourn.services._reconciling import waits
from sojourn.services.beat_book import BeatBook
from sojourn.services.end_session import EndSession
from sojourn.services.suspend_session import SuspendSession

SOURCE: Final = "sweep"
BATCH: Final = 256
"""Sessions looked at in one go; a sweep goes on until it has seen them all."""


class SweepDeadlines:
    """Acts on deadlines that have passed."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        end: EndSession,
        suspend: SuspendSession,
        *,
        started_at: datetime,
        beats: BeatBook,
    ) -> None:
        self._store = store
        self._clock = clock
        self._end = end
        self._suspend = suspend
        self._started_at = started_at
        self._beats = beats

    async def run_once(self) -> int:
        """How many sessions were ended or suspended because their time had come."""
        await self._beats.flush()
        moved = 0
        seen: set[SessionId] = set()
        waiting = 0  # stay due for as long as their targets are not reconciled
        while True:
            now, limit = self._clock.now(), BATCH + waiting
            due = await self._store.overdue(now, beats_until=now, limit=limit)
            fresh = [one for one in due if one.session not in seen]
            for one in fresh:
                seen.add(one.session)
                if await waits(self._store, one.session):
                    waiting += 1
                    continue
                moved += await self._judge(one)
            # Everything judged has moved or got a later deadline; what comes again was a race.
            if len(due) < limit or not fresh:
                return moved

    async def _judge(self, due: Overdue) -> int:
        session = await self._store.session(due.session)
        now = self._clock.now()
        if session is None:
            return 0
        if session.state in LEAVING:
            await self._owe_no_beat(session, due)
            return 0
        reason = overdue(session, now)
        if reason is not None:
            await self._end(session.id, Cause(reason, SOURCE))
            return 1
        pause = pause_due(session)
        if pause is not None and pause <= now:
            return await self._pause(session.id, Cause(Reason.WINDOW_CLOSED, SOURCE, "its change window"))
        return await self._judge_silence(session, due, now)

    async def _judge_silence(self, session: Session, due: Overdue, now: datetime) -> int:
        if due.last_beat is None:
            return 0
        heard = self._last_heard(session, due.last_beat)
        deadline = beat_deadline(session, heard)
        if deadline is None or deadline > now:
            # Not active now, heard meanwhile, or forgiven after a restart: listen on.
            await self._store.note_beats([(session.id, heard, deadline or now + session.beat.missed_after)])
            return 0
        cause = Cause(Reason.MISSED_BEAT, SOURCE)
        if not session.beat.suspend_first:
            await self._end(session.id, cause)
            return 1
        return await self._pause(session.id, cause)

    async def _pause(self, session: SessionId, cause: Cause) -> int:
        try:
            await self._suspend(session, cause)
        except (Conflict, NotFound):
            return 0  # it left, or is not active any more
        return 1

    def _last_heard(self, session: Session, stored: datetime) -> datetime:
        """The latest of the stored beat, one not written yet, and our start.

        While nobody listened nobody could be heard, so a restart forgives one timeout.
        """
        noted = self._beats.last(session.id) or stored
        return max(stored, noted, self._started_at)

    async def _owe_no_beat(self, session: Session, due: Overdue) -> None:
        if due.last_beat is not None:
            await self._store.note_beats([(session.id, due.last_beat, None)])
