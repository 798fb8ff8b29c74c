"""PostgreSQL over asyncpg, for many nodes: the same functions, run over an awaited connection.

Each connection limits how long it may sit in a transaction, so that a stalled node cannot
hold the head row's lock from the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from sojourn.adapters.sql_database import (
    READ_DEADLINE,
    SNAPSHOT_DEADLINE,
    WRITE_DEADLINE,
    Rejected,
    own_errors,
)
from sojourn.core.errors import Invalid, Refused, Unavailable
from sojourn.core.secret import Secret

T = TypeVar("T")

# Writes share one or two of them; the rest read. A node needs no more of the server.
CONNECTIONS: Final = 8
WRITE_TRIES: Final = 3
_SESSION: Final = {
    "application_name": "sojourn",
    "idle_in_transaction_session_timeout": "1000",  # what a stalled node can hold up
    "lock_timeout": "5000",
    "statement_timeout": "9000",  # before our own deadline, so that the server ends it
    "timezone": "UTC",
}
# Cluster and timeline. The first asks what is written now; the second, for servers that refuse
# the first, the last checkpoint, which lags a promotion.
_PLACES: Final = (
    "SELECT (SELECT system_identifier FROM pg_control_system())"
    " || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)",
    "SELECT (SELECT system_identifier FROM pg_control_system())"
    " || '/' || upper(lpad(to_hex((SELECT timeline_id FROM pg_control_checkpoint())), 8, '0'))",
)
_DURABLE: Final = {"fsync": {"on"}, "synchronous_commit": {"on", "remote_apply"}}


class _LostBeforeCommit(Unavailable):
    """The connection broke while nothing had been committed."""


class PostgresDatabase:
    """A pool of connections to one PostgreSQL."""

    def __init__(self, dsn: Secret) -> None:
        self._engine = create_async_engine(
            _url(dsn),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=READ_DEADLINE.total_seconds(),
            pool_pre_ping=False,  # a round trip a read; a lost connection is answered honestly instead
            connect_args={"server_settings": _SESSION, "timeout": READ_DEADLINE.total_seconds()},
        )
        # One statement is one snapshot; without a transaction around it a read is one round trip.
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

        self._place: tuple[str, str] | None = None  # the question that the server answers, and its answer
        event.listen(self._engine.sync_engine, "connect", self._look_where)

    async def stay(self) -> str | None:
        """The cluster and its timeline; None where the server does not say.

        From now on connections that lead elsewhere are refused: to a standby promoted since.
        """
        for question in _PLACES:
            try:
                found = await self.read(partial(_answer, question=question))
            except Rejected:
                continue
            self._place = (question, found)
            return found
        return None

    def _look_where(self, connection: Any, _record: object) -> None:
        """Ask once a connection, which a failover always breaks.

        Raises:
            Unavailable: code `fenced`; the node must start again, and a new epoch begins then.
        """
        if self._place is None:
            return
        # Without a transaction: the server would end one that sat idle while this machine was busy.
        connection.autocommit = True
        cursor = connection.cursor()
        question, expected = self._place
        cursor.execute(question)
        found = cursor.fetchone()[0]
        cursor.close()
        connection.autocommit = False
        if found != expected:
            raise Unavailable("fenced", f"the database is served from `{found}` now, not `{expected}`")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads."""
        return await _within(READ_DEADLINE, self._read(work))

    async def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which reads much, on one snapshot."""
        return await _within(SNAPSHOT_DEADLINE, self._snapshot(work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` and commit."""
        return await _within(WRITE_DEADLINE, self._write(work))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        async with self._reader.connect() as connection:
            return await connection.run_sync(work)

    async def _snapshot(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
            for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
                await connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
            return await connection.run_sync(work)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; again if the connection was lost before COMMIT was sent.

        A transaction that was never told to commit did not land, so running `work` anew is
        safe; the server ends one that sat idle for too long while this machine was busy.
        """
        for _ in range(WRITE_TRIES - 1):
            try:
                return await self._write_once(work)
            except _LostBeforeCommit:
                continue
        return await self._write_once(work)

    async def _write_once(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            transaction = await connection.begin()
            try:
                with own_errors():
                    answer = await connection.run_sync(work)
            except Unavailable as error:
                raise _LostBeforeCommit(error.code, error.message) from error
            await transaction.commit()
            return answer

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def _within(deadline: timedelta, answer: Awaitable[T]) -> T:
    with own_errors():
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                return await answer
        except TimeoutError as error:
            raise Unavailable(
                "store_unavailable", f"the database did not answer within {deadline}"
            ) from error


def _answer(connection: Connection, *, question: str) -> str:
    return str(connection.exec_driver_sql(question).scalar_one())


def check_durable(connection: Connection) -> None:
    """Refuse a server whose commits could be lost.

    Raises:
        Refused: code `not_durable`.
    """
    for setting, accepted in _DURABLE.items():
        found = connection.exec_driver_sql(f"SHOW {setting}").scalar_one()
        if found not in accepted:
            expected = "` or `".join(sorted(accepted))
            raise Refused(
                "not_durable", f"postgresql: expected `{setting}` to be `{expected}`, got `{found}`"
            )


def _url(dsn: Secret) -> URL:
    try:
        url = make_url(dsn.reveal())
    except (ArgumentError, ValueError):
        # The text holds a password: it stays out of the message, and out of the chain.
        raise Invalid("bad_dsn", "expected a URL like `postgresql://user@host/database`") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise Invalid("bad_dsn", f"expected a URL of PostgreSQL, got one of `{url.get_backend_name()}`")
    query = {("ssl" if name == "sslmode" else name): value for name, value in url.query.items()}
    return url.set(drivername="postgresql+asyncpg", query=query)
