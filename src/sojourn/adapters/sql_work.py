"""Writes to the working tables, outside the order of commits: errands, beats, marks, tiles.

Nothing here is a fact. Each function is one short transaction of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, text, update

from sojourn.adapters import sql_schema as schema
from sojourn.adapters.sql_hooks import hook_place
from sojourn.adapters.sql_usage import forget_chunks
from sojourn.adapters.sql_writes import upsert
from sojourn.core.change import Errand, ErrandKind
from sojourn.core.errors import Conflict, Unavailable
from sojourn.core.ids import ErrandId, SessionId, TargetId
from sojourn.core.session import State

_ERRAND: Final = schema.errand

_DUE: Final = (
    select(_ERRAND.c.id)
    .where(
        _ERRAND.c.run_at <= bindparam("now"),
        or_(_ERRAND.c.held_until.is_(None), _ERRAND.c.held_until <= bindparam("now")),
        _ERRAND.c.target.not_in(bindparam("without", expanding=True)),
        _ERRAND.c.target.not_in(select(schema.reconciling.c.target)),
    )
    .order_by(_ERRAND.c.run_at, _ERRAND.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
)
# Built once: building it takes longer than running it.
_CLAIM: Final = (
    update(_ERRAND)
    .where(_ERRAND.c.id.in_(select(_DUE.c.id)))
    .values(held_by=bindparam("holder"), held_until=bindparam("until"), attempts=_ERRAND.c.attempts + 1)
    .returning(_ERRAND)
)

Beat = tuple[SessionId, datetime, datetime | None]


def claim(
    connection: Connection,
    holder: str,
    now: datetime,
    *,
    hold: timedelta,
    limit: int,
    without: Collection[TargetId],
) -> list[Errand]:
    """Hold due errands, oldest first; what another holder holds, or is taking, is skipped."""
    asked = {"holder": holder, "now": now, "until": now + hold, "most": limit, "without": sorted(without)}
    rows = sorted(connection.execute(_CLAIM, asked), key=lambda row: (row.run_at, row.id))
    return [
        Errand(row.id, ErrandKind(row.kind), row.lease, row.session, row.target, row.run_at, row.attempts)
        for row in rows
    ]


def release_all(connection: Connection) -> None:
    """Take every hold back: for a process that is alone, and knows that no holder is left."""
    for table in (_ERRAND, hook_place):
        connection.execute(update(table).values(held_by=None, held_until=None))


def hold_on(connection: Connection, holder: str, until: datetime, errands: Collection[ErrandId]) -> None:
    """Lengthen the holds of `holder` on `errands`; what another holder took meanwhile is not touched."""
    still = update(_ERRAND).where(_ERRAND.c.held_by == holder, _ERRAND.c.id.in_(sorted(errands)))
    connection.execute(still.values(held_until=until))


def postpone(connection: Connection, errand: ErrandId, holder: str, *, run_at: datetime, error: str) -> bool:
    """Give an errand back; nothing happens, and false is said, if `holder` no longer holds it."""
    given = (
        update(_ERRAND)
        .where(_ERRAND.c.id == errand, _ERRAND.c.held_by == holder)
        .values(held_by=None, held_until=None, run_at=run_at, error=error)
    )
    return connection.execute(given).rowcount == 1


def note_beats(connection: Connection, beats: Collection[Beat]) -> None:
    """Record beats; an older one never replaces a newer one, whichever node saw it."""
    ordered = sorted(_newest(beats), key=lambda beat: beat[0])
    rows = [{"session": session, "last": last, "missed_at": missed} for session, last, missed in ordered]
    if rows:
        connection.execute(upsert(connection, schema.beat, "session", newer="last"), rows)


def _newest(beats: Collection[Beat]) -> list[Beat]:
    newest: dict[SessionId, Beat] = {}
    for beat in beats:
        if beat[0] not in newest or newest[beat[0]][1] <= beat[1]:
            newest[beat[0]] = beat
    return list(newest.values())


def forget_expired(connection: Connection, now: datetime) -> int:
    """Delete marks and revocations that can concern nothing any more; how many there were.

    The head remembers the last number forgotten, so that a mark before it gets a snapshot.
    """
    forget_chunks(connection, now)
    marks = connection.execute(delete(schema.mark).where(schema.mark.c.expires_at <= now)).rowcount
    ended = select(schema.session.c.id).where(schema.session.c.state == State.ENDED.value)
    connection.execute(delete(schema.beat).where(schema.beat.c.session.in_(ended)))
    table = schema.revocation
    last = connection.execute(select(func.max(table.c.n)).where(table.c.keep_until <= now)).scalar_one()
    if last is None:
        return marks
    gone = connection.execute(delete(table).where(table.c.keep_until <= now, table.c.n <= last)).rowcount
    connection.execute(_FORGOT, {"last": last})
    return marks + gone


def seal(
    connection: Connection, size: int, tiles: Mapping[tuple[int, int], bytes], note: str, *, epoch: int
) -> None:
    """Record tiles and the checkpoint of `size`.

    Raises:
        Conflict: code `stale`; a checkpoint of this size or a later one exists.
        Unavailable: code `fenced`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE checkpoint IN EXCLUSIVE MODE"))
    if connection.execute(select(schema.head.c.epoch)).scalar_one() != epoch:
        raise Unavailable("fenced", f"epoch {epoch} is over; another node or a restore has begun a later one")
    latest = connection.execute(select(func.max(schema.checkpoint.c.size))).scalar_one()
    if latest is not None and latest >= size:
        raise Conflict("stale", f"a checkpoint of size {latest} exists, not older than {size}")
    rows = [
        {"level": level, "index": index, "hashes": hashes} for (level, index), hashes in sorted(tiles.items())
    ]
    if rows:
        connection.execute(upsert(connection, schema.tile, "level", "index"), rows)
    connection.execute(insert(schema.checkpoint), {"size": size, "note": note})


_FORGOT: Final = (
    update(schema.head)
    .where(schema.head.c.forgotten_n < bindparam("last"))
    .values(forgotten_n=bindparam("last"))
)
