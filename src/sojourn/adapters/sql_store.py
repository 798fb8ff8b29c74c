"""The Store on SQLite and PostgreSQL: every call, one line to where its SQL stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, Table, select

from sojourn.adapters import sql_epoch, sql_hooks, sql_usage
from sojourn.adapters import sql_reads as reads
from sojourn.adapters import sql_schema as schema
from sojourn.adapters import sql_work as work
from sojourn.adapters.commit_group import CommitGroup
from sojourn.adapters.high_water import HighWater
from sojourn.adapters.remembered import FEED, HEAD, Remembered
from sojourn.adapters.replay_check import differences
from sojourn.adapters.sql_database import Broken, Database, Rejected
from sojourn.adapters.sql_writes import Outcome, land
from sojourn.core.approval import Approval
from sojourn.core.change import Change, Errand
from sojourn.core.charter import Budget, Charter
from sojourn.core.client import Client
from sojourn.core.errors import Conflict, Unavailable
from sojourn.core.hook import Hook, HookPlace
from sojourn.core.ids import ApprovalId, ClientId, ErrandId, HookId, KillId, LeaseId, SessionId, TargetId
from sojourn.core.kill import Kill
from sojourn.core.lease import Lease
from sojourn.core.policy import PolicySet
from sojourn.core.record import RowKind
from sojourn.core.review import Review
from sojourn.core.session import Session, State
from sojourn.core.signing_key import SigningKey
from sojourn.core.target import Target
from sojourn.core.trigger import Trigger
from sojourn.core.usage import Amounts, Chunk, Usage, Use
from sojourn.ports.store import FeedPage, Head, JournalEntry, KillFilter, Mark, Overdue, Rules, SessionFilter

R = TypeVar("R")


class SqlStore:
    """The `Store` of ports/store.py over one database. Made by `opened_store.py`."""

    def __init__(
        self,
        database: Database,
        *,
        epoch: int,
        high_water: HighWater | None = None,
        waiting: bool = False,
        alone: bool = False,
    ) -> None:
        self._database = database
        self._epoch = epoch
        self._high_water = high_water
        self._waiting = waiting  # once false for good: only a new epoch, which fences us, sets it
        self._memory = Remembered(exact=alone)  # only who writes alone knows what has not changed
        self._group = CommitGroup(self._land)
        self.failed = asyncio.Event()
        """Set when the disk failed: nothing more is written, and the process had better end."""

    async def commit(self, change: Change) -> Head:
        """Write `change` together with what others write now."""
        return await self._group.submit(change)

    async def _land(self, changes: Sequence[Change]) -> list[Outcome]:
        try:
            with self._memory.landing(changes):
                outcomes = await self._database.write(lambda one: land(one, changes, epoch=self._epoch))
        except Broken:
            self.failed.set()
            raise
        self._memory.keep_head(outcomes)
        return outcomes

    async def _write(self, call: Callable[[Any], R]) -> R:
        try:
            return await self._database.write(call)
        except Rejected as error:
            raise Conflict("stale", "another node wrote this first") from error
        except Broken as error:
            self.failed.set()
            raise Unavailable("store_unavailable", f"the disk failed: {error}") from error

    async def _read(self, call: Callable[[Any], R]) -> R:
        try:
            return await self._database.read(call)
        except (Rejected, Broken) as error:
            raise Unavailable("store_unavailable", f"the database cannot be read: {error}") from error

    async def _rows(self, kind: type[R], chosen: Select[Any]) -> list[R]:
        return await self._read(lambda connection: reads.docs(connection, kind, chosen))

    async def _row(self, kind: type[R], chosen: Select[Any]) -> R | None:
        found = await self._rows(kind, chosen)
        return found[0] if found else None

    async def _by_id(self, kind: type[R], table: Table, wanted: str) -> R | None:
        return await self._read(lambda connection: reads.by_id(connection, kind, table, wanted))

    async def head(self) -> Head:
        """The row that orders everything.

        INVARIANT: a node of an earlier epoch is told so here, too. It knows nothing of what waits
        since a restore, and would otherwise sign tokens of the new epoch without having to commit.
        """
        head = await self._memory.recall(HEAD, "", lambda: self._read(reads.head))
        if head.epoch != self._epoch:
            raise Unavailable(
                "fenced", f"epoch {self._epoch} is over; another node or a restore has begun a later one"
            )
        return head

    # -- state -------------------------------------------------------------------------
    async def session(self, session: SessionId) -> Session | None:
        """The session of that id."""
        return await self._by_id(Session, schema.session, session)

    async def statuses(self, name: str) -> Mapping[int, State] | None:
        return await self._read(lambda connection: reads.statuses(connection, name))

    async def status_lists(self) -> Sequence[str]:
        return await self._read(reads.status_lists)

    async def family(self, root: SessionId) -> Sequence[Session]:
        """The session and its descendants, root first, parents before children."""
        return await self._read(lambda connection: reads.family(connection, root))

    async def descendants(self, roots: Collection[SessionId]) -> Sequence[Session]:
        """Every descendant of any of `roots` that has not ended."""
        return await self._read(lambda connection: reads.descendants(connection, roots))

    async def sessions(
        self, which: SessionFilter, *, after: SessionId | None, limit: int
    ) -> Sequence[Session]:
        """Sessions in the order of their ids, from the one following `after`."""
        return await self._read(lambda connection: reads.sessions(connection, which, after, limit))

    async def lease(self, lease: LeaseId) -> Lease | None:
        """The lease of that id."""
        return await self._by_id(Lease, schema.lease, lease)

    async def leases(self, session: SessionId) -> Sequence[Lease]:
        """The leases of a session, in the order of their ids."""
        return await self._read(lambda connection: reads.leases_of(connection, session))

    async def leases_of(self, sessions: Collection[SessionId]) -> Mapping[SessionId, Sequence[Lease]]:
        """The leases of many sessions; those without any are left out."""
        return await self._read(lambda connection: reads.leases_of_many(connection, sessions))

    async def living_leases(self, target: TargetId) -> int:
        """How many leases of the target are not destroyed."""
        return await self._read(lambda connection: reads.living_leases(connection, target))

    async def client(self, client: ClientId) -> Client | None:
        """The client of that id, removed or not."""
        return await self._memory.recall(
            RowKind.CLIENT, client, lambda: self._by_id(Client, schema.client, client)
        )

    async def client_named(self, name: str) -> Client | None:
        """The client of that name that is not removed."""
        return await self._row(Client, reads.client_doc(name))

    async def clients(self) -> Sequence[Client]:
        """Every client, removed or not, in the order of their ids."""
        return await self._rows(Client, select(schema.client.c.doc).order_by(schema.client.c.id))

    async def charter(self, name: str, number: int | None = None) -> Charter | None:
        """A charter; without `number` its newest version."""
        return await self._memory.recall(
            RowKind.CHARTER, (name, number), lambda: self._row(Charter, reads.charter_doc(name, number))
        )

    async def charters(self) -> Sequence[Charter]:
        """Every version of every charter, by name and number."""
        table = schema.charter
        return await self._rows(Charter, select(table.c.doc).order_by(table.c.name, table.c.number))

    async def policy(self, number: int | None = None) -> PolicySet | None:
        """A policy set; without `number` the newest."""
        return await self._row(PolicySet, reads.policy_doc(number))

    async def review(self, session: SessionId) -> Review | None:
        """The review that a break-glass session owes, or owed."""
        return await self._row(Review, reads.review_of(session))

    async def reviews(self, *, owed: bool, limit: int) -> Sequence[Review]:
        """Reviews, the oldest first; only those that are still owed, if asked."""
        return await self._rows(Review, reads.reviews(owed, limit))

    async def rules(self) -> Rules:
        """How far policies and charters have come."""
        return await self._memory.recall(RowKind.POLICY, "rules", lambda: self._read(reads.rules))

    async def target_named(self, name: str) -> Target | None:
        """The target of that name that is not removed."""
        return await self._row(Target, reads.target_doc(name))

    async def target(self, target: TargetId) -> Target | None:
        """The target of that id, removed or not."""
        return await self._by_id(Target, schema.target, target)

    async def targets(self) -> Sequence[Target]:
        """Every target, removed or not, in the order of their ids."""
        return await self._rows(Target, select(schema.target.c.doc).order_by(schema.target.c.id))

    async def trigger_named(self, name: str) -> Trigger | None:
        """The trigger of that name that is not removed."""
        return await self._row(Trigger, reads.trigger_docs(name))

    async def triggers(self) -> Sequence[Trigger]:
        """Triggers that are not removed, in the order of their ids."""
        return await self._rows(Trigger, reads.trigger_docs(None))

    async def hooks(self) -> Sequence[Hook]:
        """Hooks that are not removed, in the order of their ids."""
        table = schema.hook
        return await self._rows(
            Hook, select(table.c.doc).where(table.c.removed_at.is_(None)).order_by(table.c.id)
        )

    async def hook_place(self, hook: HookId) -> HookPlace | None:
        """How far the hook has come; None before its first turn."""
        return await self._read(lambda connection: sql_hooks.place(connection, hook))

    async def hold_hook(self, hook: Hook, holder: str, now: datetime, until: datetime) -> HookPlace | None:
        """Take the hook's place; None while another holds it, or it waits for its retry."""
        return await self._write(
            lambda connection: sql_hooks.hold(connection, hook, holder, now=now, until=until)
        )

    async def move_hook(self, hook: HookId, holder: str, to: HookPlace) -> bool:
        """Write down how far the hook has come, and let go of it."""
        return await self._write(lambda connection: sql_hooks.move(connection, hook, holder, to))

    async def approval(self, approval: ApprovalId) -> Approval | None:
        """The request of that id."""
        return await self._row(
            Approval, select(schema.approval.c.doc).where(schema.approval.c.id == approval)
        )

    async def approvals(self, subject: str | None = None) -> Sequence[Approval]:
        """Requests about a session or template; without `subject` those that nobody has decided."""
        return await self._rows(Approval, reads.approval_docs(subject))

    async def kill(self, kill: KillId) -> Kill | None:
        """The kill order of that id."""
        return await self._row(Kill, select(schema.kill.c.doc).where(schema.kill.c.id == kill))

    async def kills(self, which: KillFilter) -> Sequence[Kill]:
        """Kill orders, in the order of their ids."""
        return await self._memory.recall(
            RowKind.KILL, which, lambda: self._rows(Kill, reads.kill_docs(which))
        )

    async def signing_keys(self) -> Sequence[SigningKey]:
        """Every signing key there ever was, oldest first."""
        found = await self._rows(SigningKey, select(schema.signing_key.c.doc))
        return sorted(found, key=lambda key: (key.made_at, key.id))

    # -- working tables ----------------------------------------------------------------
    async def mark(self, kind: str, key: str, now: datetime) -> str | None:
        """The value of a one-time mark that has not expired, or None."""
        return await self._read(lambda connection: reads.mark(connection, kind, key, now))

    async def sealed(self, name: str) -> bytes | None:
        """The ciphertext kept under `name`."""
        chosen = select(schema.sealed.c.ciphertext).where(schema.sealed.c.name == name)
        return await self._read(lambda connection: connection.execute(chosen).scalar_one_or_none())

    async def note_beats(self, beats: Collection[tuple[SessionId, datetime, datetime | None]]) -> None:
        """Record beats; an older one never replaces a newer one."""
        if beats:
            await self._write(lambda connection: work.note_beats(connection, beats))

    async def last_beat(self, session: SessionId) -> datetime | None:
        """When the session was last heard of, as far as it is written down."""
        chosen = select(schema.beat.c.last).where(schema.beat.c.session == session)
        return await self._read(lambda connection: connection.execute(chosen).scalar_one_or_none())

    async def overdue(self, now: datetime, *, beats_until: datetime, limit: int) -> Sequence[Overdue]:
        """Sessions that time may have ended."""
        return await self._read(lambda connection: reads.overdue(connection, now, beats_until, limit))

    async def reserve_use(self, wanted: Chunk, budget: Budget) -> Amounts:
        """Take at most `wanted` out of an account, all at once."""
        return await self._write(lambda connection: sql_usage.reserve(connection, wanted, budget))

    async def report_use(self, use: Use, now: datetime) -> bool:
        """Take note of a use; false for a chunk that is unknown, another's, or came too late."""
        return await self._write(lambda connection: sql_usage.report(connection, use, now))

    async def usage(self, session: SessionId, account: SessionId, now: datetime) -> Usage:
        """The account of a family, and what one session of it exercised."""
        return await self._read(lambda connection: sql_usage.usage(connection, session, account, now))

    async def forget_expired(self, now: datetime) -> int:
        """Delete marks and revocations that can concern nothing any more."""
        return await self._write(lambda connection: work.forget_expired(connection, now))

    # -- errands -----------------------------------------------------------------------
    async def claim(
        self, holder: str, now: datetime, *, hold: timedelta, limit: int, without: Collection[TargetId] = ()
    ) -> Sequence[Errand]:
        """Hold due errands for `hold`, oldest first; `attempts` counts this one."""
        return await self._write(
            lambda connection: work.claim(connection, holder, now, hold=hold, limit=limit, without=without)
        )

    async def hold_on(self, holder: str, until: datetime, errands: Collection[ErrandId]) -> None:
        """Hold until then what of `errands` `holder` still holds."""
        await self._write(lambda connection: work.hold_on(connection, holder, until, errands))

    async def postpone(self, errand: ErrandId, holder: str, run_at: datetime, error: str) -> bool:
        """Give an errand back; false if `holder` no longer holds it."""
        return await self._write(
            lambda connection: work.postpone(connection, errand, holder, run_at=run_at, error=error)
        )

    async def next_errand_at(self, *, without: Collection[TargetId] = ()) -> datetime | None:
        """When the earliest errand that nobody holds is due."""
        return await self._read(lambda connection: reads.earliest_errand(connection, without))

    # -- after a restore ---------------------------------------------------------------
    async def reconciling(self) -> frozenset[TargetId]:
        """The targets in which nothing is destroyed until an operator has looked."""
        return await self._read(sql_epoch.reconciling) if await self._anything_waits() else frozenset()

    async def _anything_waits(self) -> bool:
        self._waiting = self._waiting and await self._read(sql_epoch.anything_waits)
        return self._waiting

    async def reconciled(self, target: TargetId) -> None:
        """Let destroying go on in `target`."""
        await self._write(lambda connection: sql_epoch.reconciled(connection, target, self._epoch))

    async def restored(self, *, limit: int) -> Sequence[SessionId]:
        """The sessions that wait since a restore and have not left."""
        return await self._read(lambda connection: sql_epoch.restored(connection, limit))

    async def is_restored(self, session: SessionId) -> bool:
        """Whether the session waits since a restore."""
        if not await self._anything_waits():
            return False
        return await self._read(lambda connection: sql_epoch.is_restored(connection, session))

    async def sessions_reconciled(self) -> None:
        """Let every session go on."""
        await self._write(lambda connection: sql_epoch.sessions_reconciled(connection, self._epoch))

    # -- feed and journal --------------------------------------------------------------
    async def feed(self, after: Mark | None, *, limit: int) -> FeedPage:
        """Every revocation after the mark; a snapshot, whatever its size, when it cannot be followed."""
        return await self._memory.recall(
            FEED,
            after,  # a page without entries is the same for every limit
            lambda: self._read(lambda connection: reads.feed(connection, after, limit)),
            worth=lambda page: not (page.entries or page.snapshot),
        )

    async def journal(self, first: int, *, limit: int) -> Sequence[JournalEntry]:
        """Leaves from `first`."""
        return await self._read(lambda connection: reads.journal(connection, reads.leaves_from(first, limit)))

    async def session_journal(self, session: SessionId) -> Sequence[JournalEntry]:
        """The leaves of one session, in the order of their numbers."""
        return await self._read(lambda connection: reads.journal(connection, reads.leaves_of(session)))

    async def tiles(self, keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Stored tile hashes by (level, index)."""
        return await self._read(lambda connection: reads.tiles(connection, keys))

    async def seal(self, size: int, tiles: dict[tuple[int, int], bytes], checkpoint: str) -> None:
        """Record tiles and the signed checkpoint of `size`, then the high-water mark beside the keys."""
        await self._write(
            lambda connection: work.seal(connection, size, tiles, checkpoint, epoch=self._epoch)
        )
        if self._high_water is not None:
            await asyncio.to_thread(self._high_water.raise_to, await self.head())

    async def checkpoint(self) -> tuple[int, str] | None:
        """The newest signed checkpoint and its size."""
        return await self._read(reads.checkpoint)

    async def replay_differences(self) -> list[str]:
        """Where the state tables differ from what the journal rebuilds; empty when they agree.

        Beyond the port: for tests, `doctor` and restores. It reads everything.
        """
        return await self._database.snapshot(differences)

    async def close(self) -> None:
        """Finish the batch in hand, answer the rest with `Unavailable`, and close the database."""
        await self._group.close()
        await self._database.close()
