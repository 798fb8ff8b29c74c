"""Remove a caller: it may do nothing any more, and everything it opened ends."""

from __future__ import annotations

from typing import Final

from sojourn.core.client import Client, remove
from sojourn.core.ending import Reason
from sojourn.core.errors import NotFound
from sojourn.core.ids import ClientId
from sojourn.core.kill import Kill, Selects
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services.order_kill import OrderKill

_DETAIL: Final = "its client was removed"


class RemoveClient:
    """Removes a client, and orders the end of its sessions in the same commit."""

    def __init__(self, store: Store, clock: Clock, order: OrderKill) -> None:
        self._store = store
        self._clock = clock
        self._order = order

    async def __call__(self, client: ClientId, *, by: str) -> Client:
        """The client, removed; its sessions are refused from here on, and ended by the worker.

        Raises:
            NotFound: code `unknown_client`.
        """
        removed, _ = await self.for_reason(client, Reason.KILLED, by=by, detail=_DETAIL)
        return removed

    async def for_reason(
        self, client: ClientId, reason: Reason, *, by: str, detail: str
    ) -> tuple[Client, Kill]:
        """The client, removed, and the order that ends its sessions.

        Raises:
            NotFound: code `unknown_client`.
        """
        return await decide_again(lambda: self._attempt(client, reason, by, detail), self._clock)

    async def _attempt(
        self, client_id: ClientId, reason: Reason, by: str, detail: str
    ) -> tuple[Client, Kill]:
        client = await self._store.client(client_id)
        if client is None:
            raise NotFound("unknown_client", f"there is no client `{client_id[:40]}`")
        # Opening pins the client: none of its sessions follows this commit, and the order has all before.
        steps = () if client.removed_at is not None else (remove(client, self._clock.now()),)
        kill = await self._order(Selects.CLIENT, client.id, by=by, detail=detail, reason=reason, along=steps)
        return (steps[0].row if steps else client), kill
