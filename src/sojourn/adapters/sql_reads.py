"""What the store reads, each a function over a connection that says what it returns."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Select, Table, and_, bindparam, func, or_, select

from sojourn.adapters import sql_schema as schema
from sojourn.adapters.codec import to_bytes
from sojourn.adapters.sql_judge import identity_hash, key_hash
from sojourn.adapters.sql_rows import row_of
from sojourn.core.approval import ApprovalState
from sojourn.core.change import RevocationKind
from sojourn.core.client import Client
from sojourn.core.ids import SessionId, TargetId
from sojourn.core.kill import KillState
from sojourn.core.lease import Lease
from sojourn.core.session import Session, State
from sojourn.core.target import Target, TargetState
from sojourn.ports.store import (
    FeedEntry,
    FeedPage,
    Head,
    JournalEntry,
    KillFilter,
    Mark,
    Overdue,
    Rules,
    SessionFilter,
)

R = TypeVar("R")

_SESSION: Final = schema.session
_LEASE: Final = schema.lease
_BEAT: Final = schema.beat


def docs(connection: Connection, kind: type[R], chosen: Select[Any]) -> list[R]:
    """The rows whose `doc` the statement selects, in its order."""
    return [row_of(kind, doc) for doc in connection.execute(chosen).scalars()]


# Built once: building a statement costs as much as running it.
_BY_ID: Final = {
    table: select(table.c.doc).where(table.c.id == bindparam("wanted", type_=table.c.id.type))
    for table in (schema.session, schema.lease, schema.client, schema.target)
}
_HEAD: Final = select(schema.head)
_LEASES_OF: Final = select(_LEASE.c.doc).where(_LEASE.c.session == bindparam("whose")).order_by(_LEASE.c.id)
# What seldom changes is read out of its text once: the text is the key, so a change is another row.
_kept: Final = lru_cache(maxsize=1024)(row_of)
_KEPT: Final = frozenset({Client, Target})


def by_id(connection: Connection, kind: type[R], table: Table, wanted: str) -> R | None:
    """The row of that id."""
    doc = connection.execute(_BY_ID[table], {"wanted": wanted}).scalar_one_or_none()
    if doc is None:
        return None
    return cast("R", _kept(cast("Hashable", kind), doc)) if kind in _KEPT else row_of(kind, doc)


def head(connection: Connection) -> Head:
    """The one row that orders everything."""
    row = connection.execute(_HEAD).one()
    return Head(row.epoch, row.journal_size, row.feed_n)


def family(connection: Connection, root: SessionId) -> list[Session]:
    """The session and its descendants: by depth, so that parents come first, then by id."""
    below = select(schema.ancestor.c.descendant).where(schema.ancestor.c.ancestor == root)
    chosen = select(_SESSION.c.doc).where(or_(_SESSION.c.id == root, _SESSION.c.id.in_(below)))
    return docs(connection, Session, chosen.order_by(_SESSION.c.depth, _SESSION.c.id))


def statuses(connection: Connection, name: str) -> dict[int, State] | None:
    """The states of the sessions in a status list that are not active; None if nobody is in it."""
    place = schema.status_place
    here = select(place.c.index, _SESSION.c.state).join(_SESSION, _SESSION.c.id == place.c.session)
    here = here.where(place.c.list == name)
    found = connection.execute(here.where(_SESSION.c.state != State.ACTIVE.value)).all()
    if not found and connection.execute(here.limit(1)).first() is None:
        return None
    return {index: State(state) for index, state in found}


def status_lists(connection: Connection) -> list[str]:
    """The status lists in which a session has not ended."""
    place = schema.status_place
    chosen = select(place.c.list).join(_SESSION, _SESSION.c.id == place.c.session)
    chosen = chosen.where(_SESSION.c.state != State.ENDED.value).distinct().order_by(place.c.list)
    return list(connection.execute(chosen).scalars())


def descendants(connection: Connection, roots: Collection[SessionId]) -> list[Session]:
    """Every descendant of `roots` that has not ended, parents first."""
    if not roots:
        return []
    below = select(schema.ancestor.c.descendant).where(schema.ancestor.c.ancestor.in_(sorted(roots)))
    chosen = select(_SESSION.c.doc).where(_SESSION.c.id.in_(below), _SESSION.c.state != State.ENDED.value)
    return docs(connection, Session, chosen.order_by(_SESSION.c.depth, _SESSION.c.id))


def leases_of_many(connection: Connection, sessions: Collection[SessionId]) -> dict[SessionId, list[Lease]]:
    """The leases of `sessions`, each in the order of their ids."""
    found: dict[SessionId, list[Lease]] = {}
    if sessions:
        chosen = select(_LEASE.c.doc).where(_LEASE.c.session.in_(sorted(sessions))).order_by(_LEASE.c.id)
        for lease in docs(connection, Lease, chosen):
            found.setdefault(lease.session, []).append(lease)
    return found


def trigger_docs(name: str | None) -> Select[Any]:
    """Triggers that are not removed: all, or the one of that name."""
    table = schema.trigger
    chosen = select(table.c.doc).where(table.c.removed_at.is_(None)).order_by(table.c.id)
    return chosen if name is None else chosen.where(table.c.name == name)


def approval_docs(subject: str | None) -> Select[Any]:
    """The requests about `subject`, or all that are pending, in the order of their ids."""
    table = schema.approval
    chosen = select(table.c.doc).order_by(table.c.id)
    if subject is None:
        return chosen.where(table.c.state == ApprovalState.PENDING.value)
    return chosen.where(table.c.subject == subject)


def kill_docs(which: KillFilter) -> Select[Any]:
    """The kill orders that fit, in the order of their ids."""
    table = schema.kill
    chosen = select(table.c.doc).order_by(table.c.id)
    if which.unfinished:
        chosen = chosen.where(table.c.state != KillState.FINISHED.value)
    if which.after_n is not None:
        chosen = chosen.where(or_(table.c.n > which.after_n, table.c.n.is_(None)))
    if which.selector is not None:
        chosen = chosen.where(table.c.kind == which.selector.kind.value, table.c.subject == which.selector.id)
    return chosen


def sessions(
    connection: Connection, which: SessionFilter, after: SessionId | None, limit: int
) -> list[Session]:
    """At most `limit` sessions that fit, in the order of their ids, from the one following `after`."""
    rules = [] if after is None else [_SESSION.c.id > after]
    named = {
        "client": which.client,
        "owner": which.owner,
        "charter": which.charter,
        "task_ref": which.task_ref,
    }
    rules += [_SESSION.c[name] == value for name, value in named.items() if value is not None]
    if which.states is not None:
        rules.append(_SESSION.c.state.in_(sorted(state.value for state in which.states)))
        if State.ENDED not in which.states and which.identity is None:
            rules.append(_SESSION.c.state != State.ENDED.value)  # lets the index of living sessions be used
    # Without reading a row: a member stands in every record in the same spelling.
    rules += [_SESSION.c.doc.contains(_spelled(*fact), autoescape=True) for fact in sorted(which.facts)]
    if which.identity is not None:
        known = schema.identity
        chosen = select(known.c.session).where(known.c.facts_hash == identity_hash(which.identity))
        rules.append(_SESSION.c.id.in_(chosen))
    return docs(
        connection,
        Session,
        select(_SESSION.c.doc).where(and_(True, *rules)).order_by(_SESSION.c.id).limit(limit),
    )


def _spelled(name: str, value: str) -> str:
    return to_bytes({name: value}).decode()[1:-1]


def living_leases(connection: Connection, target: TargetId) -> int:
    """How many leases of the target are not destroyed."""
    chosen = (
        select(func.count())
        .select_from(_LEASE)
        .where(_LEASE.c.target == target, _LEASE.c.state != "destroyed")
    )
    return int(connection.execute(chosen).scalar_one())


def policy_doc(number: int | None) -> Select[Any]:
    """The policy set of that number, or the newest."""
    chosen = select(schema.policy.c.doc)
    if number is not None:
        return chosen.where(schema.policy.c.number == number)
    return chosen.order_by(schema.policy.c.number.desc()).limit(1)


def review_of(session: SessionId) -> Select[Any]:
    """The review that a session owes, or owed."""
    return select(schema.review.c.doc).where(schema.review.c.session == session)


def reviews(owed: bool, limit: int) -> Select[Any]:
    """Reviews, the oldest first; only those that are still owed, if asked."""
    chosen = select(schema.review.c.doc).order_by(schema.review.c.id).limit(limit)
    return chosen.where(schema.review.c.done_at.is_(None)) if owed else chosen


def rules(connection: Connection) -> Rules:
    """How far policies and charters have come."""
    newest = select(func.coalesce(func.max(schema.policy.c.number), 0)).scalar_subquery()
    versions = select(func.count()).select_from(schema.charter).scalar_subquery()
    return Rules(*connection.execute(select(newest, versions)).one())


def charter_doc(name: str, number: int | None) -> Select[Any]:
    """The charter of that name and number, or its newest version."""
    chosen = select(schema.charter.c.doc).where(schema.charter.c.name == name)
    if number is not None:
        return chosen.where(schema.charter.c.number == number)
    return chosen.order_by(schema.charter.c.number.desc()).limit(1)


def client_doc(name: str) -> Select[Any]:
    """The client of that name that is not removed."""
    return select(schema.client.c.doc).where(
        schema.client.c.name == name, schema.client.c.removed_at.is_(None)
    )


def target_doc(name: str) -> Select[Any]:
    """The target of that name that is not removed."""
    table = schema.target
    return select(table.c.doc).where(table.c.name == name, table.c.state != TargetState.REMOVED.value)


def mark(connection: Connection, kind: str, key: str, now: datetime) -> str | None:
    """The value of the mark, if it has not expired by `now`."""
    table = schema.mark
    chosen = select(table.c.value).where(table.c.key_hash == key_hash(kind, key), table.c.expires_at > now)
    return connection.execute(chosen).scalar_one_or_none()


def overdue(connection: Connection, now: datetime, beats_until: datetime, limit: int) -> list[Overdue]:
    """Sessions that time may have ended: by their deadline first, then by silence; at most `limit`."""
    last = select(_SESSION.c.id, _BEAT.c.last).join_from(
        _SESSION, _BEAT, _BEAT.c.session == _SESSION.c.id, isouter=True
    )
    due = last.where(_SESSION.c.due_at <= now).order_by(_SESSION.c.due_at).limit(limit)
    silent = (
        select(_SESSION.c.id, _BEAT.c.last)
        .join_from(_BEAT, _SESSION, _BEAT.c.session == _SESSION.c.id)
        .where(_BEAT.c.missed_at <= beats_until, _SESSION.c.state == State.ACTIVE.value)
        .order_by(_BEAT.c.missed_at)
        .limit(limit)
    )
    found = {row.id: row.last for chosen in (due, silent) for row in connection.execute(chosen)}
    return [Overdue(session, beaten) for session, beaten in list(found.items())[:limit]]


def feed(connection: Connection, after: Mark | None, limit: int) -> FeedPage:
    """The entries after the mark, at most `limit`; all of them when the mark cannot be followed."""
    row = connection.execute(_HEAD).one()
    now = Mark(row.epoch, row.feed_n)
    follows = after is not None and after.epoch == row.epoch and row.forgotten_n <= after.n <= row.feed_n
    table = schema.revocation
    # Entries that landed since the head was read belong to the next page.
    chosen = select(table).where(table.c.n <= row.feed_n).order_by(table.c.n)
    if after is None or not follows:
        return FeedPage(now, _entries(connection, chosen), snapshot=True)
    entries = _entries(connection, chosen.where(table.c.n > after.n).limit(limit))
    reached = Mark(row.epoch, entries[-1].n) if len(entries) == limit else now
    return FeedPage(reached, entries, snapshot=False)


def _entries(connection: Connection, chosen: Select[Any]) -> tuple[FeedEntry, ...]:
    return tuple(
        FeedEntry(row.n, RevocationKind(row.kind), row.id, row.min_generation)
        for row in connection.execute(chosen)
    )


def journal(connection: Connection, chosen: Select[Any]) -> list[JournalEntry]:
    """The leaves that the statement selects."""
    return [JournalEntry(index, leaf) for index, leaf in connection.execute(chosen)]


def leaves_from(first: int, limit: int) -> Select[Any]:
    """Leaves in the order of the journal."""
    table = schema.fact
    return (
        select(table.c.index, table.c.leaf).where(table.c.index >= first).order_by(table.c.index).limit(limit)
    )


def leaves_of(session: SessionId) -> Select[Any]:
    """The leaves of one session in the order of their numbers."""
    table = schema.fact
    return select(table.c.index, table.c.leaf).where(table.c.session == session).order_by(table.c.number)


def tiles(connection: Connection, keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """The stored tiles among `keys`."""
    table = schema.tile
    by_level: dict[int, list[int]] = {}
    for level, index in keys:
        by_level.setdefault(level, []).append(index)
    found: dict[tuple[int, int], bytes] = {}
    for level, indices in by_level.items():
        chosen = select(table).where(table.c.level == level, table.c.index.in_(indices))
        found.update({(level, index): hashes for _, index, hashes in connection.execute(chosen)})
    return found


def checkpoint(connection: Connection) -> tuple[int, str] | None:
    """The newest checkpoint and its size."""
    table = schema.checkpoint
    row = connection.execute(select(table).order_by(table.c.size.desc()).limit(1)).first()
    return None if row is None else (row.size, row.note)


def leases_of(connection: Connection, session: SessionId) -> list[Lease]:
    """The leases of a session in the order of their ids."""
    return [row_of(Lease, doc) for doc in connection.execute(_LEASES_OF, {"whose": session}).scalars()]


def earliest_errand(connection: Connection, without: Collection[TargetId]) -> datetime | None:
    """When the first errand that nobody holds is due, of those that may be claimed."""
    found: datetime | None = connection.execute(_EARLIEST, {"without": sorted(without)}).scalar_one()
    return found


_EARLIEST: Final = select(func.min(schema.errand.c.run_at)).where(
    schema.errand.c.held_by.is_(None),
    schema.errand.c.target.not_in(select(schema.reconciling.c.target)),
    schema.errand.c.target.not_in(bindparam("without", expanding=True)),
)
