"""The store port in memory, for tests and simulation: faithful, small, and forgetful.

Every call yields once before it looks and every commit once after it wrote, so that a
cancelled commit may or may not have landed, as with a real database.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, cast

from sojourn.core.change import Change, Errand, Once, Revocation
from sojourn.core.charter import Charter
from sojourn.core.client import Client
from sojourn.core.deadlines import next_due
from sojourn.core.errors import Conflict, Refused
from sojourn.core.ids import ErrandId, LeaseId, SessionId, TargetId
from sojourn.core.lease import Lease, LeaseState
from sojourn.core.record import Fact, Row, RowKind
from sojourn.core.replay import ROW_TYPES
from sojourn.core.session import LEAVING, Session, State
from sojourn.core.signing_key import SigningKey
from sojourn.core.target import Target, TargetState
from sojourn.core.trigger import identities, mark_of
from sojourn.ports.store import (
    FeedEntry,
    FeedPage,
    Head,
    JournalEntry,
    Mark,
    Overdue,
    SessionFilter,
)
from sojourn.testing.memory_kept import MemoryKept, MemoryPlaces
from sojourn.testing.memory_rows import MemoryAccounts, RowReads

Watch = Callable[[Change], None]

_KINDS: Final = {row: kind for kind, row in ROW_TYPES.items()}


@dataclass(frozen=True, slots=True)
class _Hold:
    errand: Errand
    holder: str | None
    until: datetime | None


class MemoryStore(RowReads, MemoryAccounts, MemoryKept, MemoryPlaces):
    """State tables, journal, feed, errands and working tables, in dictionaries."""

    def __init__(self, *, epoch: int = 1) -> None:
        MemoryAccounts.__init__(self)
        MemoryPlaces.__init__(self)
        self.epoch = epoch
        self.waiting: set[TargetId] = set()  # to be reconciled
        self.waiting_sessions: set[SessionId] = set()
        self.rows: dict[tuple[RowKind, str], Row] = {}
        self.facts: list[Fact] = []
        self.revocations: list[tuple[int, Revocation]] = []
        self.errands: dict[ErrandId, _Hold] = {}
        self.watches: list[Watch] = []
        self._feed_n = 0
        self._forgotten_n = 0
        self._of_session: dict[SessionId, list[LeaseId]] = {}
        self._marks: dict[tuple[str, str], Once] = {}
        self._sealed: dict[str, bytes] = {}
        self._beats: dict[SessionId, tuple[datetime, datetime | None]] = {}
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._checkpoint: tuple[int, str] | None = None

    # -- commit ------------------------------------------------------------------------
    async def commit(self, change: Change) -> Head:
        """Write `change` whole, or not at all."""
        await asyncio.sleep(0)
        self._judge(change)
        self._write(change)
        head = self._head()
        for watch in self.watches:
            watch(change)
        await asyncio.sleep(0)
        return head

    def _judge(self, change: Change) -> None:
        for step in change.steps:
            if step.facts:
                self._require_version(_kind(step.row), step.row.id, step.read_version)
                if step.read_version == 0:
                    self._require_unique(step.row)
        for pinned in change.pins:
            self._require_version(pinned.row, pinned.id, pinned.version)
        for once in change.once:
            if (once.kind, once.key) in self._marks:
                raise Refused("replayed", f"this {once.kind} was used before")
        for spend in change.spend:
            mark = self._marks.get((spend.kind, spend.key))
            if mark is None or mark.expires_at <= spend.now:
                raise Refused("unknown_mark", f"there is no such {spend.kind}, or it has expired")

    def _require_version(self, kind: RowKind, row_id: str, version: int) -> None:
        row = self.rows.get((kind, row_id))
        if (row.version if row else 0) != version:
            raise Conflict("stale", f"{kind} `{row_id}` is no longer at version {version}")

    def _require_unique(self, row: Row) -> None:
        own = _name(row)
        rows = self.rows.values() if own is not None else ()
        if any(type(one) is type(row) and one.id != row.id and _name(one) == own for one in rows):
            raise Conflict("stale", f"there is another row named {own}")

    def _write(self, change: Change) -> None:
        for step in change.steps:
            if not step.facts:
                continue
            row = step.row
            self.rows[_kind(row), row.id] = row
            self.facts += step.facts
            if isinstance(row, Lease) and step.read_version == 0:
                self._of_session.setdefault(row.session, []).append(row.id)
        for spend in change.spend:
            del self._marks[spend.kind, spend.key]
        for once in change.once:
            self._marks[once.kind, once.key] = once
        self._note_beats([(beat.session, beat.last, beat.missed_at) for beat in change.beats])
        for done in change.done:
            self.errands.pop(done, None)
        for errand in change.errands:
            self.errands[errand.id] = _Hold(errand, None, None)
        for revocation in change.revocations:
            self._feed_n += 1
            self.revocations.append((self._feed_n, revocation))
        for sealed in change.sealed:
            if sealed.ciphertext is None:
                self._sealed.pop(sealed.name, None)
            else:
                self._sealed[sealed.name] = sealed.ciphertext

    def _head(self) -> Head:
        return Head(self.epoch, len(self.facts), self._feed_n)

    async def head(self) -> Head:
        await asyncio.sleep(0)
        return self._head()

    # -- state -------------------------------------------------------------------------
    def all_sessions(self) -> list[Session]:
        """Every session, at once: for assertions."""
        return cast("list[Session]", self._all(RowKind.SESSION))

    def all_leases(self, session: SessionId) -> list[Lease]:
        """Every lease of a session, at once: for assertions."""
        return [cast("Lease", self.rows[RowKind.LEASE, one]) for one in self._of_session.get(session, ())]

    async def session(self, session: SessionId) -> Session | None:
        await asyncio.sleep(0)
        return cast("Session | None", self.rows.get((RowKind.SESSION, session)))

    async def family(self, root: SessionId) -> Sequence[Session]:
        await asyncio.sleep(0)
        found = [one for one in self.all_sessions() if one.id == root or root in one.ancestors]
        return sorted(found, key=lambda one: (len(one.ancestors), one.id))

    async def descendants(self, roots: Collection[SessionId]) -> Sequence[Session]:
        await asyncio.sleep(0)
        found = [one for one in self.all_sessions() if not set(roots).isdisjoint(one.ancestors)]
        staying = [one for one in found if one.state is not State.ENDED]
        return sorted(staying, key=lambda one: (len(one.ancestors), one.id))

    async def sessions(
        self, which: SessionFilter, *, after: SessionId | None, limit: int
    ) -> Sequence[Session]:
        await asyncio.sleep(0)
        found = [
            one for one in self.all_sessions() if _fits(one, which) and (after is None or one.id > after)
        ]
        return found[:limit]

    async def lease(self, lease: LeaseId) -> Lease | None:
        await asyncio.sleep(0)
        return cast("Lease | None", self.rows.get((RowKind.LEASE, lease)))

    async def leases(self, session: SessionId) -> Sequence[Lease]:
        await asyncio.sleep(0)
        return self.all_leases(session)

    async def leases_of(self, sessions: Collection[SessionId]) -> Mapping[SessionId, Sequence[Lease]]:
        await asyncio.sleep(0)
        return {one: leases for one in sessions if (leases := self.all_leases(one))}

    async def living_leases(self, target: TargetId) -> int:
        await asyncio.sleep(0)
        leases = cast("list[Lease]", self._all(RowKind.LEASE))
        return sum(one.target == target and one.state is not LeaseState.DESTROYED for one in leases)

    async def signing_keys(self) -> Sequence[SigningKey]:
        await asyncio.sleep(0)
        return sorted(cast("list[SigningKey]", self._all(RowKind.KEY)), key=lambda it: (it.made_at, it.id))

    # -- working tables ----------------------------------------------------------------
    async def mark(self, kind: str, key: str, now: datetime) -> str | None:
        await asyncio.sleep(0)
        mark = self._marks.get((kind, key))
        return mark.value if mark and mark.expires_at > now else None

    async def sealed(self, name: str) -> bytes | None:
        await asyncio.sleep(0)
        return self._sealed.get(name)

    async def note_beats(self, beats: Collection[tuple[SessionId, datetime, datetime | None]]) -> None:
        await asyncio.sleep(0)
        self._note_beats(beats)

    def _note_beats(self, beats: Collection[tuple[SessionId, datetime, datetime | None]]) -> None:
        for session, last, missed in beats:
            known = self._beats.get(session)
            if known is None or known[0] <= last:  # an older beat never replaces a newer one
                self._beats[session] = (last, missed)

    async def last_beat(self, session: SessionId) -> datetime | None:
        await asyncio.sleep(0)
        beat = self._beats.get(session)
        return beat[0] if beat else None

    async def overdue(self, now: datetime, *, beats_until: datetime, limit: int) -> Sequence[Overdue]:
        await asyncio.sleep(0)
        found = []
        for session in self.all_sessions():
            last, missed = self._beats.get(session.id, (None, None))
            silent = missed is not None and missed <= beats_until and session.state is State.ACTIVE
            due = next_due(session)
            if silent or (due is not None and due <= now):
                found.append(Overdue(session.id, last))
        return found[:limit]

    async def forget_expired(self, now: datetime) -> int:
        await asyncio.sleep(0)
        marks = [key for key, mark in self._marks.items() if mark.expires_at <= now]
        for key in marks:
            del self._marks[key]
        kept = [(n, one) for n, one in self.revocations if one.keep_until > now]
        gone = [n for n, one in self.revocations if one.keep_until <= now]
        self._forgotten_n = max([self._forgotten_n, *gone])
        self.revocations = kept
        return len(marks) + len(gone)

    # -- errands -----------------------------------------------------------------------
    async def claim(
        self, holder: str, now: datetime, *, hold: timedelta, limit: int, without: Collection[TargetId] = ()
    ) -> Sequence[Errand]:
        await asyncio.sleep(0)
        free = [
            one.errand
            for one in self.errands.values()
            if one.errand.run_at <= now
            and (one.until is None or one.until <= now)
            and one.errand.target not in self.waiting.union(without)
        ]
        taken = sorted(free, key=lambda one: (one.run_at, one.id))[:limit]
        claimed = [replace(one, attempts=one.attempts + 1) for one in taken]
        for errand in claimed:
            self.errands[errand.id] = _Hold(errand, holder, now + hold)
        return claimed

    async def hold_on(self, holder: str, until: datetime, errands: Collection[ErrandId]) -> None:
        await asyncio.sleep(0)
        for errand, held in self.errands.items():
            if held.holder == holder and errand in errands:
                self.errands[errand] = replace(held, until=until)

    async def postpone(self, errand: ErrandId, holder: str, run_at: datetime, error: str) -> bool:
        await asyncio.sleep(0)
        held = self.errands.get(errand)
        if held is None or held.holder != holder:
            return False
        self.errands[errand] = _Hold(replace(held.errand, run_at=run_at), None, None)
        return True

    async def next_errand_at(self, *, without: Collection[TargetId] = ()) -> datetime | None:
        await asyncio.sleep(0)
        skipped = {*self.waiting, *without}
        free = [one for one in self.errands.values() if one.errand.target not in skipped]
        waits = [one.until or one.errand.run_at for one in free]
        return min(waits, default=None)

    async def reconciling(self) -> frozenset[TargetId]:
        await asyncio.sleep(0)
        return frozenset(self.waiting)

    async def reconciled(self, target: TargetId) -> None:
        await asyncio.sleep(0)
        self.waiting.discard(target)

    async def restored(self, *, limit: int) -> Sequence[SessionId]:
        await asyncio.sleep(0)
        staying = (one.id for one in self.all_sessions() if one.state not in LEAVING)
        return [one for one in staying if one in self.waiting_sessions][:limit]

    async def is_restored(self, session: SessionId) -> bool:
        await asyncio.sleep(0)
        return session in self.waiting_sessions

    async def sessions_reconciled(self) -> None:
        await asyncio.sleep(0)
        self.waiting_sessions.clear()

    # -- feed and journal --------------------------------------------------------------
    async def feed(self, after: Mark | None, *, limit: int) -> FeedPage:
        await asyncio.sleep(0)
        mark = self._head().mark
        follows = (
            after is not None and after.epoch == self.epoch and self._forgotten_n <= after.n <= self._feed_n
        )
        if after is None or not follows:
            return FeedPage(mark, tuple(_entry(n, one) for n, one in self.revocations), snapshot=True)
        found = tuple(_entry(n, one) for n, one in self.revocations if n > after.n)[:limit]
        reached = Mark(self.epoch, found[-1].n) if len(found) == limit else mark
        return FeedPage(reached, found, snapshot=False)

    async def journal(self, first: int, *, limit: int) -> Sequence[JournalEntry]:
        await asyncio.sleep(0)
        chosen = self.facts[first : first + limit]
        return [JournalEntry(first + i, _leaf(first + i, fact)) for i, fact in enumerate(chosen)]

    async def session_journal(self, session: SessionId) -> Sequence[JournalEntry]:
        await asyncio.sleep(0)
        return [
            JournalEntry(i, _leaf(i, fact)) for i, fact in enumerate(self.facts) if fact.session == session
        ]

    async def tiles(self, keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        await asyncio.sleep(0)
        return {key: self._tiles[key] for key in keys if key in self._tiles}

    async def seal(self, size: int, tiles: dict[tuple[int, int], bytes], checkpoint: str) -> None:
        await asyncio.sleep(0)
        if self._checkpoint is not None and self._checkpoint[0] >= size:
            raise Conflict("stale", f"a checkpoint of size {self._checkpoint[0]} exists")
        self._tiles.update(tiles)
        self._checkpoint = (size, checkpoint)

    async def checkpoint(self) -> tuple[int, str] | None:
        await asyncio.sleep(0)
        return self._checkpoint

    async def close(self) -> None:
        await asyncio.sleep(0)


def _kind(row: Row) -> RowKind:
    return _KINDS[type(row)]


def _name(row: Row) -> tuple[object, ...] | None:
    """What no other row of its kind may be called, if there is such a thing."""
    match row:
        case Client():
            return None if row.removed_at else (row.name,)
        case Target():
            return None if row.state is TargetState.REMOVED else (row.name,)
        case Charter():
            return (row.name, row.number)
        case Lease():
            return (row.handle,)
        case _:
            return None


def _entry(n: int, revocation: Revocation) -> FeedEntry:
    return FeedEntry(n, revocation.kind, revocation.id, revocation.min_generation)


def _leaf(index: int, fact: Fact) -> bytes:
    body = {"index": index, "kind": fact.kind, "id": fact.id, "at": fact.at, "changes": fact.changes}
    return json.dumps(body, default=str, sort_keys=True).encode()


def _fits(session: Session, which: SessionFilter) -> bool:
    return (
        which.client in (None, session.client)
        and (which.states is None or session.state in which.states)
        and which.owner in (None, session.owner)
        and which.charter in (None, session.charter, session.task.kind)
        and which.task_ref in (None, session.task.ref)
        and which.facts <= session.context.items()
        and (which.identity is None or _is_known_by(session, which.identity))
    )


def _is_known_by(session: Session, facts: str) -> bool:
    known = (mark_of(one) for one in identities(session.context))
    return session.state is not State.ENDED and facts in known
