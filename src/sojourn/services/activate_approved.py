"""The workload comes back for a session that people have approved: recognised anew, then activated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from sojourn.core.approval import Approval, hash_of, holds, shown_of
from sojourn.core.change import Change, Once
from sojourn.core.charter import OnClose
from sojourn.core.errors import Conflict, NotFound, Refused
from sojourn.core.ids import SessionId
from sojourn.core.session import LEAVING, Session, State
from sojourn.ports.attestor import Evidence
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services.activate_session import ActivateSession, Activation
from sojourn.services.change_windows import ChangeWindows
from sojourn.services.reattest_session import ReattestSession

Shorten = Callable[[SessionId, datetime], Awaitable[Session]]
"""Ends a session's window earlier."""


class ActivateApproved:
    """Hands out the credentials of an approved session, to the holder of its key, once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        reattest: ReattestSession,
        activate: ActivateSession,
        *,
        windows: ChangeWindows | None = None,
        shorten: Shorten | None = None,
    ) -> None:
        self._windows = windows
        self._shorten = shorten
        self._store = store
        self._clock = clock
        self._reattest = reattest
        self._activate = activate

    async def __call__(
        self, session_id: SessionId, evidence: Evidence, key: str, once: tuple[Once, ...]
    ) -> Activation:
        """The session, active.

        Raises:
            NotFound: code `unknown_session`; also for another key or another client.
            Refused: codes `not_approved_yet`, `approval_void`, `session_ended`, `outside_window`,
                `context_changed`, `replayed`, …
            Unavailable: code `calendar_unavailable`.
            Conflict: code `wrong_state`; it was activated before.
        """
        session = await self._store.session(session_id)
        if session is None or session.key != key:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        again = await self._reattest(session, evidence, by="activation")
        await self._store.commit(Change(once=(*again.once, *once)))
        if again.drifted:
            raise Refused(
                "context_changed",
                f"{again.drifted}: people said yes to what was; come back as it was, or open another session",
            )
        session = again.session
        await self._require_yes(session)
        return await self._activate(await self._within_its_window(session))

    async def _within_its_window(self, session: Session) -> Session:
        """The session cut to its change window as it is now: people may take their time to say yes."""
        if self._windows is None or self._shorten is None:
            return session
        bound = await self._windows.of(session, self._clock.now())
        if bound is None or bound.on_close is OnClose.SUSPEND or session.window.closes <= bound.closes:
            return session
        return await self._shorten(session.id, bound.closes)

    async def _require_yes(self, session: Session) -> None:
        if session.state in LEAVING:
            reason = session.cause.reason if session.cause else "ended"
            raise Refused("session_ended", f"the session has ended: `{reason}`")
        if session.state is State.REQUESTED:
            raise Refused("not_approved_yet", "nobody has said yes yet")
        if session.state is not State.APPROVED:
            raise Conflict("wrong_state", f"expected an approved session, it is `{session.state}`")
        asked = await self._store.approvals(session.id)
        if asked and not any(self._covers(one, session) for one in asked):
            raise Refused("approval_void", "the yes has expired, or was given to something else")

    def _covers(self, approval: Approval, session: Session) -> bool:
        same = hash_of(shown_of(session, approval.duration)) == approval.shown_hash
        return holds(approval, self._clock.now()) and same
