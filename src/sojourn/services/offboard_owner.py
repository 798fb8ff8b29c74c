"""An owner leaves: its sessions end, its callers are removed, its charters open nothing more."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.core.client import Client
from sojourn.core.ending import Reason
from sojourn.core.errors import Refused
from sojourn.core.kill import Kill, Selects
from sojourn.ports.store import Store
from sojourn.services.order_kill import Count, OrderKill
from sojourn.services.remove_client import RemoveClient


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

    def __init__(self, store: Store, order: OrderKill, remove: RemoveClient) -> None:
        self._store = store
        self._order = order
        self._remove = remove

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
        source, why = f"client:{by.name}", Reason.OWNER_LEFT
        kills = [await self._order(Selects.OWNER, owner, by=source, detail=detail, reason=why)]
        for client in seen.clients:
            _, kill = await self._remove.for_reason(client.id, why, by=source, detail=detail)
            kills.append(kill)
        return Offboarding(owner, seen.clients, seen.charters, seen.counts, tuple(kills))
