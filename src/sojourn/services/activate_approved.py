"""The workload comes back for a session that people have approved: recognised anew, then activated."""

from __future__ import annotations

from sojourn.core.approval import Approval, hash_of, holds, shown_of
from sojourn.core.change import Change, Once
from sojourn.core.errors import Conflict, NotFound, Refused
from sojourn.core.ids import SessionId
from sojourn.core.session import LEAVING, Session, State
from sojourn.ports.attestor import Evidence
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services.activate_session import ActivateSession, Activation
from sojourn.services.reattest_session import ReattestSession


class ActivateApproved:
    """Hands out the credentials of an approved session, to the holder of its key, once."""

    def __init__(
        self, store: Store, clock: Clock, reattest: ReattestSession, activate: ActivateSession
    ) -> None:
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
            Refused: codes `not_approved_yet`, `approval_void`, `session_ended`, `replayed`, …
            Conflict: code `wrong_state`; it was activated before.
        """
        session = await self._store.session(session_id)
        if session is None or session.key != key:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        again = await self._reattest(session, evidence, by="activation")
        await self._store.commit(Change(once=(*again.once, *once)))
        if again.drifted:
            raise Refused("context_changed", "the context is not that of the opening")
        session = again.session
        await self._require_yes(session)
        return await self._activate(session)

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
