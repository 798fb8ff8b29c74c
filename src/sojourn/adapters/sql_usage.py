"""Accounts of use: working tables, each call one short transaction under the account's lock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sojourn.adapters import sql_accounts as schema
from sojourn.core.charter import Budget
from sojourn.core.ids import SessionId
from sojourn.core.usage import METRICS, Amounts, Chunk, Usage, Use, allot

_ACCOUNT, _CHUNK, _EXERCISED = schema.account, schema.chunk, schema.exercised


def reserve(connection: Connection, wanted: Chunk, budget: Budget) -> Amounts:
    """Take at most `wanted` out of the account, and remember who holds it."""
    given = allot(budget, _locked(connection, wanted.account), wanted.amounts)
    if not any(given.each().values()):
        return given
    _add(connection, wanted.account, given)
    connection.execute(
        insert(_CHUNK).values(
            id=wanted.id,
            account=wanted.account,
            holder=wanted.holder,
            expires_at=wanted.expires_at,
            **given.each(),
        )
    )
    return given


def report(connection: Connection, use: Use, now: datetime) -> bool:
    """Take note of a use; false for a chunk that is unknown, another's, or came too late."""
    _locked(connection, use.account)
    if use.chunk is None:
        _add(connection, use.account, use.used)
    else:
        mine = (_CHUNK.c.id == use.chunk, _CHUNK.c.holder == use.holder, _CHUNK.c.account == use.account)
        held = connection.execute(select(_CHUNK).where(*mine, _CHUNK.c.expires_at > now)).first()
        if held is None:
            return False
        if connection.execute(delete(_CHUNK).where(*mine)).rowcount != 1:
            return False
        back = {m: min(use.used.of(m), getattr(held, m)) - getattr(held, m) for m in METRICS}
        _add(connection, use.account, Amounts(**back))
    if use.used.calls or use.actions:
        connection.execute(update(_ACCOUNT).where(_ACCOUNT.c.session == use.account).values(used_at=now))
    if use.failed:
        more = {"failed": _ACCOUNT.c.failed + use.failed}
        connection.execute(update(_ACCOUNT).where(_ACCOUNT.c.session == use.account).values(**more))
    for subject, count in sorted(use.actions.items()):
        _count(connection, use.session, subject, count)
    return True


def usage(connection: Connection, session: SessionId, account: SessionId, now: datetime) -> Usage:
    """The account, and what the session exercised."""
    row = connection.execute(select(_ACCOUNT).where(_ACCOUNT.c.session == account)).first()
    held = select(func.count()).select_from(_CHUNK)
    live = held.where(_CHUNK.c.account == account, _CHUNK.c.expires_at > now)
    chunks = int(connection.execute(live).scalar_one())
    chosen = select(_EXERCISED.c.subject, _EXERCISED.c.uses).where(_EXERCISED.c.session == session)
    actions = {row.subject: row.uses for row in connection.execute(chosen.order_by(_EXERCISED.c.subject))}
    if row is None:
        return Usage(Amounts(), chunks, actions)
    spent = Amounts(**{m: getattr(row, m) for m in METRICS})
    return Usage(spent, chunks, actions, row.used_at, row.failed)


def forget_chunks(connection: Connection, now: datetime) -> None:
    """Forget chunks that nobody reported in time: they stay spent."""
    connection.execute(delete(_CHUNK).where(_CHUNK.c.expires_at <= now))


def _locked(connection: Connection, account: SessionId) -> Amounts:
    connection.execute(
        _insert(connection, _ACCOUNT)
        .values(session=account, calls=0, rows=0, bytes=0, cost=0)
        .on_conflict_do_nothing(index_elements=["session"])
    )
    chosen = select(_ACCOUNT).where(_ACCOUNT.c.session == account).with_for_update()
    row = connection.execute(chosen).one()
    return Amounts(**{m: getattr(row, m) for m in METRICS})


def _add(connection: Connection, account: SessionId, amounts: Amounts) -> None:
    more = {m: _ACCOUNT.c[m] + count for m, count in amounts.each().items() if count}
    if more:
        connection.execute(update(_ACCOUNT).where(_ACCOUNT.c.session == account).values(**more))


def _count(connection: Connection, session: SessionId, subject: str, count: int) -> None:
    new = _insert(connection, _EXERCISED).values(session=session, subject=subject, uses=count)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["session", "subject"], set_={"uses": _EXERCISED.c.uses + count}
        )
    )


def _insert(connection: Connection, table: Table) -> Any:  # both dialects say it alike
    build: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return build(table)
