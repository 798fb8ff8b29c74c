"""Remove a caller: it may do nothing any more, and everything it opened ends."""

from __future__ import annotations

from typing import Final

from sojourn.core.change import Change
from sojourn.core.client import Client, Role, remove
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound
from sojourn.core.ids import ClientId, SessionId
from sojourn.core.kill import Selects
from sojourn.core.session import State
from sojourn.ports.clock import Clock
from sojourn.ports.store import SessionFilter, Store
from sojourn.services._retry import decide_again
from sojourn.services.end_session import EndSession
from sojourn.services.order_kill import OrderKill

_PAGE: Final = 500
_DETAIL: Final = "its client was removed"
_STAYING: Final = frozenset({State.REQUESTED, State.APPROVED, State.ACTIVE, State.SUSPENDED})


class RemoveClient:
    """Removes a client and orders the end of its sessions in one commit, then ends them."""

    def __init__(self, store: Store, clock: Clock, end: EndSession, order: OrderKill) -> None:
        self._store = store
        self._clock = clock
        self._end = end
        self._order = order

    async def __call__(self, client: ClientId, *, by: str) -> Client:
        """The client, removed; what an interrupted call left, the order ends.

        Raises:
            NotFound: code `unknown_client`.
        """
        # The client first: opening pins it, so that no session of its can follow.
        removed = await decide_again(lambda: self._attempt(client, by), self._clock)
        which = SessionFilter(client=client, states=_STAYING)
        after: SessionId | None = None
        while page := await self._store.sessions(which, after=after, limit=_PAGE):
            for session in page:
                await self._end(session.id, Cause(Reason.KILLED, by, _DETAIL))
            after = page[-1].id
        return removed

    async def _attempt(self, client_id: ClientId, by: str) -> Client:
        client = await self._store.client(client_id)
        if client is None:
            raise NotFound("unknown_client", f"there is no client `{client_id[:40]}`")
        if client.removed_at is not None:
            return client
        step = remove(client, self._clock.now())
        if client.role is Role.WORKLOAD:
            await self._order(Selects.CLIENT, client.id, by=by, detail=_DETAIL, along=(step,))
        else:  # no sessions
            await self._store.commit(Change(steps=(step,)))
        return step.row
