"""Land a batch of Changes in one transaction: judge, write rows, and the head last.

The head row is updated `WHERE epoch = mine` after everything that needs no number, and its
lock is held to the commit: indices and feed numbers follow the order of commits, without
gaps, and a node of an earlier epoch is fenced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Executable, Table, bindparam, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from sojourn.adapters import sql_schema as schema
from sojourn.adapters.journal_leaf import leaf_hash, leaf_of
from sojourn.adapters.sql_batch import Batch, Bodies, bodies_of, build
from sojourn.adapters.sql_judge import LOCK_ORDER, Stored, look, thin, verdict
from sojourn.adapters.sql_many import execute_many
from sojourn.adapters.sql_rows import CHANGING, Columns
from sojourn.core.change import Change
from sojourn.core.errors import SojournError, Unavailable
from sojourn.core.record import RowKind
from sojourn.ports.store import Head


class Later(Enum):
    """The Change was not judged: it belongs in the next batch."""

    POSTPONED = "postponed"


Outcome = Head | SojournError | Later


@dataclass(frozen=True, slots=True)
class _Candidate:
    at: int  # its place in the batch
    change: Change
    bodies: Bodies


def land(connection: Connection, changes: Sequence[Change], *, epoch: int) -> list[Outcome]:
    """Write what can land; for each Change the head after it, its refusal, or `Later`.

    Raises:
        Unavailable: code `fenced`; another epoch has begun, and nothing was written.
    """
    outcomes: list[Outcome] = [Later.POSTPONED] * len(changes)
    # What costs time is done before the first statement: no lock is held meanwhile.
    taken = [
        fit for at, free in enumerate(thin(changes)) if free and (fit := _told(at, changes[at], outcomes))
    ]
    stored = look(connection, (candidate.change for candidate in taken))
    sound = [candidate for candidate in taken if _holds(candidate, stored, outcomes)]
    batch = build(((candidate.change, candidate.bodies) for candidate in sound), stored.facts)
    for candidate, head in zip(sound, _write(connection, batch, epoch), strict=True):
        outcomes[candidate.at] = head
    return outcomes


def _told(at: int, change: Change, outcomes: list[Outcome]) -> _Candidate | None:
    try:
        return _Candidate(at, change, bodies_of(change))
    except SojournError as error:
        outcomes[at] = error
        return None


def _holds(candidate: _Candidate, stored: Stored, outcomes: list[Outcome]) -> bool:
    refusal = verdict(candidate.change, stored)
    if refusal is not None:
        outcomes[candidate.at] = refusal
    return refusal is None


def _write(connection: Connection, batch: Batch, epoch: int) -> list[Head]:
    recounted = batch.recount()
    for kind in LOCK_ORDER:
        if kind in _BETWEEN:
            execute_many(connection, _BETWEEN[kind], batch.between[kind])
        execute_many(connection, _UPDATES[kind], [_keyed(columns) for columns in batch.updates[kind]])
        # After what makes room: a key that stops being next, a name that is free again.
        execute_many(connection, _INSERTS[kind], batch.inserts[kind])
    execute_many(connection, _RECOUNT, recounted)
    execute_many(connection, _ANCESTOR, batch.ancestors)
    execute_many(connection, _IDENTITY, batch.identities)
    execute_many(connection, _PLACE, batch.places)
    execute_many(connection, upsert(connection, schema.beat, "session", newer="last"), _in_order(batch.beats))
    execute_many(connection, _FORGET_BEAT, batch.ended)
    execute_many(connection, _FORGET_IDENTITY, batch.ended)
    execute_many(connection, _SPEND, batch.spend)
    execute_many(connection, _MARK, batch.once)
    execute_many(connection, _DONE, batch.done)
    execute_many(connection, _ERRAND, batch.errands)
    execute_many(connection, upsert(connection, schema.sealed, "name"), batch.sealed)
    execute_many(connection, _UNSEAL, batch.unsealed)
    return _order(connection, batch, epoch)


def _order(connection: Connection, batch: Batch, epoch: int) -> list[Head]:
    size, feed_n = advance(connection, epoch, facts=len(batch.facts), revocations=len(batch.revocations))
    first, feed = size - len(batch.facts), feed_n - len(batch.revocations)
    execute_many(
        connection,
        _FACT,
        [_leaf(placed, index) for index, placed in enumerate(batch.facts, first)],
    )
    execute_many(
        connection,
        _REVOCATION,
        [
            {
                "n": n,
                "kind": revocation.kind.value,
                "id": revocation.id,
                "min_generation": revocation.min_generation,
                "keep_until": revocation.keep_until,
            }
            for n, revocation in enumerate(batch.revocations, feed + 1)
        ],
    )
    return [Head(epoch, first + facts, feed + revocations) for facts, revocations in batch.counts]


def advance(connection: Connection, epoch: int, *, facts: int, revocations: int) -> tuple[int, int]:
    """Move the head, holding its lock to the commit; the journal's size and feed number after.

    Raises:
        Unavailable: code `fenced`.
    """
    moved = connection.execute(_ADVANCE, {"mine": epoch, "facts": facts, "revocations": revocations}).first()
    if moved is None:
        raise Unavailable("fenced", f"epoch {epoch} is over; another node or a restore has begun a later one")
    return moved.journal_size, moved.feed_n


def upsert(connection: Connection, table: Table, *key: str, newer: str | None = None) -> Any:
    """Insert rows; a row whose key exists gets the new values, unless its `newer` column is ahead."""
    return _upsert(connection.dialect.name, table, key, newer)


@cache
def _upsert(dialect: str, table: Table, key: tuple[str, ...], newer: str | None) -> Any:
    build_insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    new = build_insert(table)
    changed = {column.name: new.excluded[column.name] for column in table.c if column.name not in key}
    where = None if newer is None else new.excluded[newer] >= table.c[newer]
    return new.on_conflict_do_update(index_elements=list(key), set_=changed, where=where)


def _leaf(placed: Any, index: int) -> Columns:
    leaf = leaf_of(placed, index)
    return {
        "index": index,
        "session": placed.fact.session,
        "number": placed.number,
        "kind": placed.fact.kind.value,
        "leaf": leaf,
        "leaf_hash": leaf_hash(leaf),
    }


def _in_order(beats: list[Columns]) -> list[Columns]:
    """As `sql_work.note_beats` locks them, so that the two never wait for each other."""
    return sorted(beats, key=lambda beat: str(beat["session"]))


def _keyed(columns: Columns) -> Columns:
    return {f"new_{name}" if name != "id" else "key": value for name, value in columns.items()}


def _update_of(kind: RowKind) -> Executable:
    table = schema.STATE_TABLES[kind]
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in CHANGING[kind]}
    return update(table).where(table.c.id == bindparam("key")).values(values)


def _between_of(*names: str, kind: RowKind) -> Executable:
    table = schema.STATE_TABLES[kind]
    return (
        update(table).where(table.c.id == bindparam("key")).values({n: bindparam(f"new_{n}") for n in names})
    )


# Built once: SQLAlchemy finds a statement's compiled form quickest on the same object.
_INSERTS: Final = {kind: insert(schema.STATE_TABLES[kind]) for kind in RowKind}
_ANCESTOR: Final = insert(schema.ancestor)
_IDENTITY: Final = insert(schema.identity)
_PLACE: Final = insert(schema.status_place)
_MARK: Final = insert(schema.mark)
_ERRAND: Final = insert(schema.errand)
_FACT: Final = insert(schema.fact)
_REVOCATION: Final = insert(schema.revocation)
_UPDATES: Final = {kind: _update_of(kind) for kind in RowKind}
_BETWEEN: Final = {
    RowKind.SESSION: _between_of("state", "reason", kind=RowKind.SESSION),
    RowKind.LEASE: _between_of("state", kind=RowKind.LEASE),
}
_RECOUNT: Final = (
    update(schema.session).where(schema.session.c.id == bindparam("key")).values(facts=bindparam("new_facts"))
)
_FORGET_BEAT: Final = delete(schema.beat).where(schema.beat.c.session == bindparam("key"))
_FORGET_IDENTITY: Final = delete(schema.identity).where(schema.identity.c.session == bindparam("key"))
_SPEND: Final = delete(schema.mark).where(schema.mark.c.key_hash == bindparam("hash"))
_UNSEAL: Final = delete(schema.sealed).where(schema.sealed.c.name == bindparam("key"))
_DONE: Final = delete(schema.errand).where(schema.errand.c.id == bindparam("key"))
_ADVANCE: Final = (
    update(schema.head)
    .where(schema.head.c.epoch == bindparam("mine"))
    .values(
        journal_size=schema.head.c.journal_size + bindparam("facts"),
        feed_n=schema.head.c.feed_n + bindparam("revocations"),
    )
    .returning(schema.head.c.journal_size, schema.head.c.feed_n)
)
