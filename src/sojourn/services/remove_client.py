"""Remove a caller: it may do nothing any more, and everything it opened ends."""

from __future__ import annotations

from typing import Final

from sojourn.core.change import Change
from sojourn.core.client import Client, remove
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound
from sojourn.core.ids import ClientId, SessionId
from sojourn.core.session import State
from sojourn.ports.clock import Clock
from sojourn.ports.store import SessionFilter, Store
from sojourn.services._retry import decide_again
from sojourn.services.end_session import EndSession

_PAGE: Final = 500
_STAYING: Final = frozenset({State.REQUESTED, State.APPROVED, State.ACTIVE, State.SUSPENDED})


class RemoveClient:
    """Removes a client, then ends its sessions one by one."""

    def __init__(self, store: Store, clock: Clock, end: EndSession) -> None:
        self._store = store
        self._clock = clock
        self._end = end

    async def __call__(self, client: ClientId, *, by: str) -> Client:
        """The client, removed; asking again ends what an interrupted call left.

        Raises:
            NotFound: code `unknown_client`.
        """
        # The client first: opening pins it, so that no session of its can follow.
        removed = await decide_again(lambda: self._attempt(client), self._clock)
        which = SessionFilter(client=client, states=_STAYING)
        after: SessionId | None = None
        while page := await self._store.sessions(which, after=after, limit=_PAGE):
            for session in page:
                await self._end(session.id, Cause(Reason.KILLED, by, "its client was removed"))
            after = page[-1].id
        return removed

    async def _attempt(self, client_id: ClientId) -> Client:
        client = await self._store.client(client_id)
        if client is None:
            raise NotFound("unknown_client", f"there is no client `{client_id[:40]}`")
        if client.removed_at is not None:
            return client
        step = remove(client, self._clock.now())
        await self._store.commit(Change(steps=(step,)))
        return step.row
