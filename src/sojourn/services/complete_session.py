"""The workload says that its work is done: the session ends, for the best of reasons."""

from __future__ import annotations

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound
from sojourn.core.ids import SessionId
from sojourn.core.session import Session
from sojourn.ports.store import Store
from sojourn.services.end_session import EndSession


class CompleteSession:
    """Ends a session at the word of the holder of its key."""

    def __init__(self, store: Store, end: EndSession) -> None:
        self._store = store
        self._end = end

    async def __call__(self, session_id: SessionId, key: str, *, job_finished: str | None = None) -> Session:
        """The session, leaving; asking twice changes nothing.

        `job_finished` says that its platform declared the job over, in the platform's words.

        Raises:
            NotFound: code `unknown_session`; also for another key, which reads alike.
        """
        session = await self._store.session(session_id)
        if session is None or session.key != key:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        if job_finished is None:
            return await self._end(session_id, Cause(Reason.COMPLETED, session.client))
        return await self._end(session_id, Cause(Reason.JOB_FINISHED, session.client, job_finished[:500]))
