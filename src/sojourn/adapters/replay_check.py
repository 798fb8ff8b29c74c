"""Rebuild the state tables from the journal and say where they differ from what is stored.

It reads everything, on one snapshot, and writes nothing: for tests, `doctor` and restores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from sojourn.adapters import sql_schema as schema
from sojourn.adapters.journal_leaf import leaf_hash, read_leaf
from sojourn.adapters.sql_judge import identity_hash
from sojourn.adapters.sql_rows import columns_of
from sojourn.core.record import Fact, RowKind
from sojourn.core.replay import Rows, replay
from sojourn.core.session import Session, State
from sojourn.core.trigger import identities, mark_of

Table = dict[str, Mapping[str, Any]]


def differences(connection: Connection) -> list[str]:
    """What the journal and the tables do not agree on, one line each; empty when they agree.

    A journal that is broken itself is all that is told: nothing can be rebuilt from it.

    Raises:
        Invalid: code `bad_record` or `bad_journal`; a fact with the right hash makes no sense.
    """
    found: list[str] = []
    facts = list(_facts(connection, found))
    if found:
        return found
    rows = replay(facts)
    counts: Counter[str] = Counter(fact.session for fact in facts if fact.session)
    for kind in RowKind:
        found.extend(_compared(kind, _expected(kind, rows, counts), _stored(connection, kind)))
    found.extend(_elders(connection, rows))
    found.extend(_places(connection, rows))
    found.extend(_identities(connection, rows))
    found.extend(_head(connection, len(facts)))
    return found


def _facts(connection: Connection, found: list[str]) -> Iterator[Fact]:
    table = schema.fact
    numbers: Counter[str] = Counter()
    chosen = select(table.c.index, table.c.session, table.c.number, table.c.leaf, table.c.leaf_hash)
    for place, row in enumerate(connection.execute(chosen.order_by(table.c.index))):
        index, session, number, leaf, hashed = row
        numbers[session] += session is not None
        if index != place or number != (numbers[session] if session else 0):
            found.append(
                f"fact {index}: expected place {place}, number {numbers[session]}; got number {number}"
            )
        if leaf_hash(leaf) != hashed:
            found.append(f"fact {index}: the stored hash is not the leaf's")
            continue
        yield read_leaf(leaf)


def _expected(kind: RowKind, rows: Rows, counts: Mapping[str, int]) -> Table:
    table: Table = {}
    for (row_kind, row_id), row in rows.items():
        if row_kind is kind:
            columns = columns_of(kind, row)
            table[row_id] = {**columns, "facts": counts[row_id]} if kind is RowKind.SESSION else columns
    return table


def _stored(connection: Connection, kind: RowKind) -> Table:
    chosen = select(schema.STATE_TABLES[kind])
    return {row["id"]: dict(row) for row in connection.execute(chosen).mappings()}


def _compared(kind: RowKind, expected: Table, stored: Table) -> Iterator[str]:
    for row_id in sorted(expected.keys() | stored.keys()):
        told, kept = expected.get(row_id), stored.get(row_id)
        if told is None or kept is None:
            yield f"{kind} `{row_id}`: only in the {'table' if told is None else 'journal'}"
            continue
        for name in sorted(told.keys() | kept.keys()):
            if told.get(name) != kept.get(name):
                yield f"{kind} `{row_id}`: `{name}` is not what the journal says"


def _elders(connection: Connection, rows: Rows) -> Iterator[str]:
    expected = {
        (row.id, elder) for row in rows.values() if isinstance(row, Session) for elder in row.ancestors
    }
    stored = {(row.descendant, row.ancestor) for row in connection.execute(select(schema.ancestor))}
    yield from (f"ancestor {pair}: not the same in the journal" for pair in sorted(expected ^ stored))


def _places(connection: Connection, rows: Rows) -> Iterator[str]:
    expected = {
        (row.status_list, row.status_index, row.id)
        for row in rows.values()
        if isinstance(row, Session) and row.status_list is not None
    }
    stored = {tuple(row) for row in connection.execute(select(schema.status_place))}
    yield from (f"status place {place}: not the same in the journal" for place in sorted(expected ^ stored))


def _identities(connection: Connection, rows: Rows) -> Iterator[str]:
    expected = {
        (identity_hash(mark_of(facts)), row.id)
        for row in rows.values()
        if isinstance(row, Session) and row.state is not State.ENDED
        for facts in identities(row.context)
    }
    stored = {(row.facts_hash, row.session) for row in connection.execute(select(schema.identity))}
    yield from (f"identity of `{who}`: not the same in the journal" for _, who in sorted(expected ^ stored))


def _head(connection: Connection, size: int) -> Iterator[str]:
    found = connection.execute(select(schema.head.c.journal_size)).scalar_one()
    if found != size:
        yield f"head: the journal has {size} facts, the head says {found}"
