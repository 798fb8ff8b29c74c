"""Which epoch a database is in: begun anew where time may have run back.

A database behind its high-water mark was restored: a new epoch begins, and in the same
transaction every target and every living session is noted to wait for an operator. One that
is served from another place (a promoted standby, a copy in another cluster) gets a new epoch
alone.
"""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Connection, delete, insert, literal, select, update

from sojourn.adapters import sql_schema as schema
from sojourn.adapters.high_water import is_behind
from sojourn.core.errors import Unavailable
from sojourn.core.ids import SessionId, TargetId
from sojourn.core.session import LEAVING
from sojourn.core.target import TargetState
from sojourn.ports.store import Head

_OVER: Final = sorted(state.value for state in LEAVING)

log = logging.getLogger(__name__)


def settle(connection: Connection, known: Head | None, place: str | None) -> int:
    """The epoch to work in, begun here if it must be; nodes that start together agree on it."""
    row = connection.execute(select(schema.head).with_for_update()).one()
    head = Head(row.epoch, row.journal_size, row.feed_n)
    if known is not None and is_behind(head, known):
        epoch = max(head.epoch, known.epoch) + 1
        begin_epoch(connection, epoch, restored=True)
        log.warning("the database is behind its high-water mark: epoch %d begins, reaping is paused", epoch)
    elif place is not None and row.place is not None and row.place != place:
        epoch = head.epoch + 1
        begin_epoch(connection, epoch)
        log.warning("the database is served from `%s`, not `%s`: epoch %d begins", place, row.place, epoch)
    else:
        epoch = head.epoch
    if place is not None and row.place != place:
        connection.execute(update(schema.head).values(place=place))
    return epoch


def begin_epoch(connection: Connection, epoch: int, *, restored: bool = False) -> None:
    """Let `epoch` begin: every node of an earlier one is fenced, every older token refused."""
    connection.execute(update(schema.head).where(schema.head.c.epoch < epoch).values(epoch=epoch))
    if not restored:
        return
    table, target = schema.reconciling, schema.target
    connection.execute(delete(table))
    here = select(target.c.id, literal(epoch)).where(target.c.state != TargetState.REMOVED.value)
    connection.execute(insert(table).from_select(["target", "epoch"], here))
    connection.execute(delete(schema.restored))
    living = select(schema.session.c.id).where(schema.session.c.state.not_in(_OVER))
    connection.execute(insert(schema.restored).from_select(["session"], living))


def reconciling(connection: Connection) -> frozenset[TargetId]:
    """The targets in which nothing is destroyed until an operator has looked."""
    return frozenset(
        TargetId(one) for one in connection.execute(select(schema.reconciling.c.target)).scalars()
    )


def reconciled(connection: Connection, target: TargetId, epoch: int) -> None:
    """Let destroying go on in `target`.

    Raises:
        Unavailable: code `fenced`; what was looked at belongs to an earlier epoch.
    """
    _require_epoch(connection, epoch)
    connection.execute(delete(schema.reconciling).where(schema.reconciling.c.target == target))


def restored(connection: Connection, limit: int) -> list[SessionId]:
    """The sessions that wait since a restore and have not left, in the order of their ids."""
    table, session = schema.restored, schema.session
    chosen = select(table.c.session).join_from(table, session, session.c.id == table.c.session)
    staying = chosen.where(session.c.state.not_in(_OVER)).order_by(table.c.session).limit(limit)
    return list(connection.execute(staying).scalars())


def is_restored(connection: Connection, session: SessionId) -> bool:
    """Whether the session waits since a restore."""
    chosen = select(schema.restored.c.session).where(schema.restored.c.session == session)
    return connection.execute(chosen).first() is not None


def anything_waits(connection: Connection) -> bool:
    """Whether an operator is still to look at something since a restore."""
    tables = (schema.reconciling.c.target, schema.restored.c.session)
    return any(connection.execute(select(column).limit(1)).first() is not None for column in tables)


def sessions_reconciled(connection: Connection, epoch: int) -> None:
    """Let every session go on.

    Raises:
        Unavailable: code `fenced`; what was looked at belongs to an earlier epoch.
    """
    _require_epoch(connection, epoch)
    connection.execute(delete(schema.restored))


def _require_epoch(connection: Connection, epoch: int) -> None:
    if connection.execute(select(schema.head.c.epoch).with_for_update()).scalar_one() != epoch:
        raise Unavailable("fenced", f"epoch {epoch} is over; another node or a restore has begun a later one")
