"""The one door out: completion, kill switch, deadline, drift and signal all pass here.

One commit records the cause, closes the whole family, revokes its tokens and queues the
destruction of every credential. Nothing outside the store is touched, so a crash loses
nothing and a repeat changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sojourn.config import Settings
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, NotFound
from sojourn.core.ids import SessionId
from sojourn.core.session import LEAVING, Session
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._ending import Ending, gather
from sojourn.services._retry import decide_until_it_lands


class EndSession:
    """Ends a session and all its descendants, once, for the first cause given."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def __call__(self, session_id: SessionId, cause: Cause) -> Session:
        """The session as it is once its end is on record; decided again until it lands.

        Raises:
            NotFound: code `unknown_session`.
            Unavailable: the store could not answer; the end may or may not have landed.
        """
        return await decide_until_it_lands(lambda: self._attempt(session_id, cause), self._clock)

    async def many(self, sessions: Collection[Session], cause: Cause) -> None:
        """End each of `sessions`, just read, in one commit; singly if another writer was first.

        Raises:
            Unavailable: the store could not answer; some may have ended.
        """
        try:
            await self._together(sessions, cause)
        except Conflict as error:
            if error.code != "stale":
                raise
            for session in sessions:
                await self(session.id, cause)

    async def _attempt(self, root: SessionId, cause: Cause) -> Session:
        family = await self._store.family(root)
        if not family:
            raise NotFound("unknown_session", f"there is no session `{root}`")
        now = self._clock.now()
        endings = []
        for session in family:  # root first: no new child can join below it
            if session.state in LEAVING:
                continue  # for a cause of its own, which is kept
            own = cause if session.id == root else Cause(Reason.PARENT_ENDED, root)
            leases = await self._store.leases(session.id)
            endings.append(Ending(session, own, leases, now))
        if not endings:
            return family[0]
        await self._store.commit(self._gather(endings, now))
        return endings[0].step.row if endings[0].step.row.id == root else family[0]

    def _gather(self, endings: Sequence[Ending], now: datetime) -> Change:
        return gather(endings, self._entropy, self._settings, now)

    async def _together(self, sessions: Collection[Session], cause: Cause) -> None:
        causes = {session.id: cause for session in sessions}
        staying = {one.id: one for one in sessions if one.state not in LEAVING}
        for child in await self._store.descendants(causes):
            if child.state not in LEAVING and child.id not in causes:
                staying[child.id] = child
                elder = next(one for one in reversed(child.ancestors) if one in causes)
                causes[child.id] = Cause(Reason.PARENT_ENDED, elder)
        leases = await self._store.leases_of(staying)
        now = self._clock.now()
        endings = [Ending(session, causes[one], leases.get(one, ()), now) for one, session in staying.items()]
        if endings:
            await self._store.commit(self._gather(endings, now))
