"""What the memory store reads of clients, charters, targets, kill orders and approvals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from sojourn.core.approval import Approval, ApprovalState
from sojourn.core.charter import Charter
from sojourn.core.client import Client
from sojourn.core.ids import ApprovalId, ClientId, KillId, TargetId
from sojourn.core.kill import Kill, KillState
from sojourn.core.record import Row, RowKind
from sojourn.core.target import Target, TargetState
from sojourn.ports.store import KillFilter


class RowReads:
    """Reads over the rows that `MemoryStore` keeps."""

    rows: dict[tuple[RowKind, str], Row]

    def _all(self, kind: RowKind) -> list[Row]:
        return sorted((row for (of, _), row in self.rows.items() if of is kind), key=lambda row: row.id)

    async def client(self, client: ClientId) -> Client | None:
        await asyncio.sleep(0)
        return cast("Client | None", self.rows.get((RowKind.CLIENT, client)))

    async def client_named(self, name: str) -> Client | None:
        clients = await self.clients()
        return next((one for one in clients if one.name == name and one.removed_at is None), None)

    async def clients(self) -> Sequence[Client]:
        await asyncio.sleep(0)
        return cast("list[Client]", self._all(RowKind.CLIENT))

    async def charter(self, name: str, number: int | None = None) -> Charter | None:
        found = [one for one in await self.charters() if one.name == name and number in (None, one.number)]
        return max(found, key=lambda one: one.number, default=None)

    async def charters(self) -> Sequence[Charter]:
        await asyncio.sleep(0)
        return cast("list[Charter]", self._all(RowKind.CHARTER))

    async def target_named(self, name: str) -> Target | None:
        targets = await self.targets()
        return next(
            (one for one in targets if one.name == name and one.state is not TargetState.REMOVED), None
        )

    async def target(self, target: TargetId) -> Target | None:
        await asyncio.sleep(0)
        return cast("Target | None", self.rows.get((RowKind.TARGET, target)))

    async def targets(self) -> Sequence[Target]:
        await asyncio.sleep(0)
        return cast("list[Target]", self._all(RowKind.TARGET))

    async def approval(self, approval: ApprovalId) -> Approval | None:
        await asyncio.sleep(0)
        return cast("Approval | None", self.rows.get((RowKind.APPROVAL, approval)))

    async def approvals(self, subject: str | None = None) -> Sequence[Approval]:
        await asyncio.sleep(0)
        known = cast("list[Approval]", self._all(RowKind.APPROVAL))
        return [
            one
            for one in known
            if (one.state is ApprovalState.PENDING if subject is None else one.subject == subject)
        ]

    async def kill(self, kill: KillId) -> Kill | None:
        await asyncio.sleep(0)
        return cast("Kill | None", self.rows.get((RowKind.KILL, kill)))

    async def kills(self, which: KillFilter) -> Sequence[Kill]:
        await asyncio.sleep(0)
        return [one for one in cast("list[Kill]", self._all(RowKind.KILL)) if _is_wanted(one, which)]


def _is_wanted(kill: Kill, which: KillFilter) -> bool:
    later = which.after_n is None or kill.n is None or kill.n > which.after_n
    going = not which.unfinished or kill.state is not KillState.FINISHED
    return later and going and which.selector in (None, kill.selector)
