"""Which Changes of a batch may land together, judged under the locks of their rows.

First the batch is thinned: the second Change on one row, or on one mark, waits for the next
batch. Then rows are locked in one order (by table, then by id) and versions, pins and marks
are compared with what is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Select, bindparam, select

from sojourn.adapters import sql_schema as schema
from sojourn.core.change import Change, Once, Spend
from sojourn.core.errors import Conflict, Refused, SojournError
from sojourn.core.record import Row, RowKind, Step

Key = tuple[RowKind, str]
T = TypeVar("T")

# Every transaction takes its locks in this order, so no two can wait for each other.
LOCK_ORDER: Final = (
    RowKind.KILL,
    RowKind.APPROVAL,
    RowKind.TRIGGER,
    RowKind.HOOK,
    RowKind.CLIENT,
    RowKind.CHARTER,
    RowKind.TARGET,
    RowKind.POLICY,
    RowKind.REVIEW,
    RowKind.SESSION,
    RowKind.LEASE,
    RowKind.KEY,
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds of the rows and marks that a batch speaks of."""

    versions: Mapping[Key, int]
    facts: Mapping[str, int]  # per session
    marks: Mapping[bytes, datetime]  # by key hash: until when


def written(change: Change) -> Iterator[tuple[RowKind, Step[Row]]]:
    """The steps that write something, each with the kind of its row."""
    for step in change.steps:
        if step.facts:
            yield step.facts[0].row, step


def mark_hash(mark: Once | Spend) -> bytes:
    """Under what a mark is stored: keys may be long, and may be worth hiding."""
    return key_hash(mark.kind, mark.key)


def _hashes(change: Change) -> set[bytes]:
    return {mark_hash(once) for once in change.once} | {mark_hash(spend) for spend in change.spend}


@lru_cache(maxsize=1024)  # a batch asks four times for each of its marks
def key_hash(kind: str, key: str) -> bytes:
    """The hash of a mark's kind and key."""
    return hashlib.sha256(f"{kind}\x00{key}".encode()).digest()


def identity_hash(facts: str) -> bytes:
    """Under what the facts are stored by which a session is known."""
    return key_hash("identity", facts)


def thin(changes: Sequence[Change]) -> list[bool]:
    """For each Change whether it may land in this batch, or waits for the next one."""
    rows: set[Key] = set()
    marks: set[bytes] = set()
    taken = []
    for change in changes:
        writes = {(kind, step.row.id) for kind, step in written(change)}
        reads = {(pin.row, pin.id) for pin in change.pins}
        spoken = _hashes(change)
        free = rows.isdisjoint(writes | reads) and marks.isdisjoint(spoken)
        taken.append(free)
        if free:
            rows |= writes
            marks |= spoken
    return taken


def look(connection: Connection, changes: Iterable[Change]) -> Stored:
    """Lock the rows and marks of `changes` and read what is compared.

    On SQLite the transaction itself is the lock.
    """
    wanted, exclusive, hashes = _wanted(changes)
    versions: dict[Key, int] = {}
    facts: dict[str, int] = {}
    for kind in LOCK_ORDER:
        if not wanted[kind]:
            continue
        for row in connection.execute(
            _lock(kind, share=kind not in exclusive), {"ids": _padded(sorted(wanted[kind]))}
        ):
            versions[(kind, row.id)] = row.version
            if kind is RowKind.SESSION:
                facts[row.id] = row.facts
    return Stored(versions, facts, _marks(connection, hashes))


def _wanted(changes: Iterable[Change]) -> tuple[dict[RowKind, set[str]], set[RowKind], set[bytes]]:
    wanted: dict[RowKind, set[str]] = {kind: set() for kind in RowKind}
    exclusive = {RowKind.SESSION, RowKind.LEASE}
    hashes: set[bytes] = set()
    for change in changes:
        for kind, step in written(change):
            exclusive.add(kind)
            if step.read_version:
                wanted[kind].add(step.row.id)
            # A new row has nothing to lock, but its session's facts are counted.
            wanted[RowKind.SESSION].update(fact.session for fact in step.facts if fact.session)
        for pin in change.pins:
            wanted[pin.row].add(pin.id)
        hashes |= _hashes(change)
    return wanted, exclusive, hashes


@cache
def _lock(kind: RowKind, *, share: bool) -> Select[Any]:
    table = schema.STATE_TABLES[kind]
    columns = [table.c.id, table.c.version, *([table.c.facts] if kind is RowKind.SESSION else [])]
    chosen = select(*columns).where(table.c.id.in_(bindparam("ids", expanding=True))).order_by(table.c.id)
    return chosen.with_for_update(read=share)


def _marks(connection: Connection, hashes: set[bytes]) -> dict[bytes, datetime]:
    if not hashes:
        return {}
    found = connection.execute(_MARKS, {"hashes": _padded(sorted(hashes))})
    return {row.key_hash: row.expires_at for row in found}


_MARKS: Final = (
    select(schema.mark.c.key_hash, schema.mark.c.expires_at)
    .where(schema.mark.c.key_hash.in_(bindparam("hashes", expanding=True)))
    .order_by(schema.mark.c.key_hash)
    .with_for_update()
)


def _padded(values: list[T]) -> list[T]:
    # Only powers of two: few different statements, so the server's prepared ones are found again.
    size = 1 << (len(values) - 1).bit_length()
    return values + [values[-1]] * (size - len(values))


def verdict(change: Change, stored: Stored) -> SojournError | None:
    """Why `change` cannot land on what is stored, or None if it can."""
    return _stale(change, stored) or _marked(change, stored)


def _stale(change: Change, stored: Stored) -> Conflict | None:
    expected = [((kind, step.row.id), step.read_version) for kind, step in written(change)]
    expected += [((pin.row, pin.id), pin.version) for pin in change.pins]
    for key, version in expected:
        # A new row is only looked up if something else named it; the table's key decides.
        if stored.versions.get(key, 0) != version:
            return Conflict("stale", f"{key[0]} `{key[1]}` is no longer at version {version}")
    born = {step.row.id for kind, step in written(change) if kind is RowKind.SESSION}
    for session in (fact.session for _, step in written(change) for fact in step.facts):
        if session and session not in born and session not in stored.facts:
            return Conflict("stale", f"there is no session `{session}`")
    return None


def _marked(change: Change, stored: Stored) -> Refused | None:
    for once in change.once:
        if mark_hash(once) in stored.marks:
            return Refused("replayed", f"this {once.kind} was used before")
    for spend in change.spend:
        until = stored.marks.get(mark_hash(spend))
        if until is None or until <= spend.now:
            return Refused("unknown_mark", f"there is no such {spend.kind}, or it has expired")
    return None
