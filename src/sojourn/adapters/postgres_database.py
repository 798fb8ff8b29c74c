"""PostgreSQL over asyncpg, for many nodes: the same functions, run over an awaited connection.

Each connection limits how long it may sit in a transaction, so that a stalled node cannot
hold the head row's lock from the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from sojourn.adapters.sql_database import READ_DEADLINE, SNAPSHOT_DEADLINE, WRITE_DEADLINE, own_errors
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
