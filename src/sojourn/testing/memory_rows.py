"""What the memory store reads of clients, kill orders and approvals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from sojourn.core.approval import Approval, ApprovalState
from sojourn.core.charter import Budget
from sojourn.core.client import Client
from sojourn.core.ids import ApprovalId, ClientId, KillId, SessionId
from sojourn.core.kill import Kill, KillState
from sojourn.core.record import Row, RowKind
from sojourn.core.session import Session, State
from sojourn.core.trigger import Trigger
from sojourn.core.usage import METRICS, Amounts, Chunk, Usage, Use, allot
from sojourn.ports.store import KillFilter


class RowReads:
    """Reads over the rows that `MemoryStore` keeps."""

    rows: dict[tuple[RowKind, str], Row]

    def _all(self, kind: RowKind) -> list[Row]:
        return sorted((row for (of, _), row in self.rows.items() if of is kind), key=lambda row: row.id)

    async def statuses(self, name: str) -> Mapping[int, State] | None:
        await asyncio.sleep(0)
        sessions = cast("list[Session]", self._all(RowKind.SESSION))
        here = [one for one in sessions if one.status_list == name]
        gone = {cast("int", one.status_index): one.state for one in here if one.state is not State.ACTIVE}
        return gone if here else None

    async def status_lists(self) -> Sequence[str]:
        await asyncio.sleep(0)
        sessions = cast("list[Session]", self._all(RowKind.SESSION))
        living = (one for one in sessions if one.state is not State.ENDED)
        return sorted({one.status_list for one in living if one.status_list is not None})

    async def client(self, client: ClientId) -> Client | None:
        await asyncio.sleep(0)
        return cast("Client | None", self.rows.get((RowKind.CLIENT, client)))

    async def client_named(self, name: str) -> Client | None:
        clients = await self.clients()
        return next((one for one in clients if one.name == name and one.removed_at is None), None)

    async def clients(self) -> Sequence[Client]:
        await asyncio.sleep(0)
        return cast("list[Client]", self._all(RowKind.CLIENT))

    async def trigger_named(self, name: str) -> Trigger | None:
        return next((one for one in await self.triggers() if one.name == name), None)

    async def triggers(self) -> Sequence[Trigger]:
        await asyncio.sleep(0)
        known = cast("list[Trigger]", self._all(RowKind.TRIGGER))
        return [one for one in known if one.removed_at is None]

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


class MemoryAccounts:
    """Accounts of use, chunks and what was exercised."""

    def __init__(self) -> None:
        self._spent: dict[SessionId, Amounts] = {}
        self._chunks: dict[str, Chunk] = {}
        self._exercised: dict[SessionId, dict[str, int]] = {}
        self._used_at: dict[SessionId, datetime] = {}
        self._failed: dict[SessionId, int] = {}

    async def reserve_use(self, wanted: Chunk, budget: Budget) -> Amounts:
        await asyncio.sleep(0)
        given = allot(budget, self._spent.get(wanted.account, Amounts()), wanted.amounts)
        if any(given.each().values()):
            self._add(wanted.account, given)
            self._chunks[wanted.id] = replace(wanted, amounts=given)
        return given

    async def report_use(self, use: Use, now: datetime) -> bool:
        await asyncio.sleep(0)
        if use.chunk is None:
            self._add(use.account, use.used)
        else:
            held = self._chunks.get(use.chunk)
            if held is None or (held.holder, held.account) != (use.holder, use.account):
                return False
            if held.expires_at <= now:
                return False
            del self._chunks[use.chunk]
            back = {m: min(use.used.of(m), held.amounts.of(m)) - held.amounts.of(m) for m in METRICS}
            self._add(use.account, Amounts(**back))
        if use.used.calls or use.actions:
            self._used_at[use.account] = now
        self._failed[use.account] = self._failed.get(use.account, 0) + use.failed
        counts = self._exercised.setdefault(use.session, {})
        for subject, count in use.actions.items():
            counts[subject] = counts.get(subject, 0) + count
        return True

    async def usage(self, session: SessionId, account: SessionId, now: datetime) -> Usage:
        await asyncio.sleep(0)
        held = [one for one in self._chunks.values() if one.account == account and one.expires_at > now]
        actions = dict(sorted(self._exercised.get(session, {}).items()))
        spent = self._spent.get(account, Amounts())
        failed = self._failed.get(account, 0)
        return Usage(spent, len(held), actions, self._used_at.get(account), failed)

    def _add(self, account: SessionId, more: Amounts) -> None:
        spent = self._spent.get(account, Amounts())
        self._spent[account] = Amounts(**{m: spent.of(m) + more.of(m) for m in METRICS})


def _is_wanted(kill: Kill, which: KillFilter) -> bool:
    later = which.after_n is None or kill.n is None or kill.n > which.after_n
    going = not which.unfinished or kill.state is not KillState.FINISHED
    return later and going and which.selector in (None, kill.selector)
