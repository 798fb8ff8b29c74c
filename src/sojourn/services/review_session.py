"""Record that a person looked at a break-glass session, and what was found."""

from __future__ import annotations

from sojourn.core.change import Change
from sojourn.core.errors import NotFound
from sojourn.core.ids import SessionId
from sojourn.core.review import Review, review
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again


class ReviewSession:
    """Takes the review that an emergency owes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, session_id: SessionId, *, by: str, note: str) -> Review:
        """The review, done.

        Raises:
            NotFound: code `no_review_owed`; the session was opened by an ordinary charter.
            Conflict: code `already_reviewed` or `wrong_state`.
        """
        return await decide_again(lambda: self._attempt(session_id, by, note), self._clock)

    async def _attempt(self, session_id: SessionId, by: str, note: str) -> Review:
        session = await self._store.session(session_id)
        owed = await self._store.review(session_id)
        if session is None or owed is None:
            raise NotFound("no_review_owed", f"session `{session_id}` owes no review")
        step = review(owed, session, by, note, now=self._clock.now())
        await self._store.commit(Change(steps=(step,)))
        return step.row
