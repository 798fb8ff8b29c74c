"""An owner leaves: its sessions end, its callers are removed, its charters open nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sojourn.core.client import Client, remove
from sojourn.core.ending import Reason
from sojourn.core.errors import NotFound, Refused
from sojourn.core.ids import ClientId
from sojourn.core.kill import Kill, Selects
from sojourn.core.record import Row, Step
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services.order_kill import Count, OrderKill


@dataclass(frozen=True, slots=True)
class Offboarding:
    """What an owner leaves behind, and the orders that end it; none were given in a dry run."""

    owner: str
    clients: tuple[Client, ...]
    charters: tuple[str, ...]
    counts: tuple[Count, ...]
    kills: tuple[Kill, ...] = ()


class OffboardOwner:
    """Ends everything of an owner in one command."""

    def __init__(self, store: Store, clock: Clock, order: OrderKill) -> None:
        self._store = store
        self._clock = clock
        self._order = order

    async def look(self, owner: str) -> Offboarding:
        """What would end; nothing is changed."""
        clients = tuple(
            one for one in await self._store.clients() if one.owner == owner and one.removed_at is None
        )
        charters = tuple(one.label for one in await self._store.charters() if one.owner == owner)
        counts = [await self._order.count(Selects.OWNER, owner)]
        counts += [await self._order.count(Selects.CLIENT, one.id) for one in clients]
        return Offboarding(owner, clients, charters, tuple(counts))

    async def __call__(self, owner: str, *, by: Client, detail: str = "") -> Offboarding:
        """Refuse at once, then remove its callers; repeating it finishes what was interrupted.

        Raises:
            Refused: code `offboards_itself`; the caller is one of its own.
        """
        seen = await self.look(owner)
        if any(one.id == by.id for one in seen.clients):
            raise Refused("offboards_itself", "somebody else must offboard the owner of this very caller")
        kills = [await self._end(Selects.OWNER, owner, by, detail)]
        for client in seen.clients:
            # In one commit, and opening pins the client: no session of its can follow, and none is left.
            kills.append(await decide_again(partial(self._remove, client.id, by, detail), self._clock))
        return Offboarding(owner, seen.clients, seen.charters, seen.counts, tuple(kills))

    async def _end(
        self, kind: Selects, name: str, by: Client, detail: str, *, along: tuple[Step[Row], ...] = ()
    ) -> Kill:
        source = f"client:{by.name}"
        return await self._order(kind, name, by=source, detail=detail, reason=Reason.OWNER_LEFT, along=along)

    async def _remove(self, client_id: ClientId, by: Client, detail: str) -> Kill:
        client = await self._store.client(client_id)
        if client is None:
            raise NotFound("unknown_client", f"there is no client `{client_id[:40]}`")
        along = (remove(client, self._clock.now()),) if client.removed_at is None else ()
        return await self._end(Selects.CLIENT, client.id, by, detail, along=along)
