"""SQLite as one process: one writer thread, a few readers that cannot write, one lock file.

Only the writer checkpoints, and no second process opens the file: releases of SQLite before
3.51.3 can corrupt a database when two connections checkpoint at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from sojourn.adapters.read_group import ReadGroup
from sojourn.adapters.sql_database import (
    READ_DEADLINE,
    SNAPSHOT_DEADLINE,
    WRITE_DEADLINE,
    Broken,
    own_errors,
)
from sojourn.core.errors import Refused, Unavailable

T = TypeVar("T")

# More threads than cores only wait for each other's interpreter.
READERS: Final = 4
_FULL: Final = 2

_WRITER: Final = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "secure_delete": "ON",
    "trusted_schema": "OFF",
    "mmap_size": "0",
}
_READER: Final = {"query_only": "ON", "wal_autocheckpoint": "0", "mmap_size": "0", "trusted_schema": "OFF"}


class SqliteDatabase:
    """A database file held by this process alone."""

    def __init__(self, path: Path) -> None:
        self._lock = _hold(path)
        try:
            _private(path)
            self._writer = _engine(path, _WRITER, begin="BEGIN IMMEDIATE", size=1)
            with own_errors(), self._writer.connect() as connection:
                check_durable(connection)
        except BaseException:
            os.close(self._lock)
            raise
        self._reader = _engine(path, _READER, begin="BEGIN", size=READERS)
        self._broken: Broken | None = None
        self._writing = ThreadPoolExecutor(1, "store-write")
        self._reading = ThreadPoolExecutor(READERS, "store-read")
        self._reads = ReadGroup(self._reading, lambda work: _once(self._reader, work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a reader thread, on one snapshot, together with what else waits to be read."""
        return await _within(READ_DEADLINE, self._reads.read(work))

    async def snapshot(self, work: Callable[[Connection], T]) -> T:
        """As `read`, with more time."""
        return await _in_thread(self._reading, lambda: _once(self._reader, work), SNAPSHOT_DEADLINE)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread and commit; after the disk failed once, never again."""
        return await _in_thread(self._writing, lambda: self._write_once(work), WRITE_DEADLINE)

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        # In the writer thread, so that nothing that already waits there slips through. A sync
        # that failed may have lost pages for good, and the next one may well say that all is fine.
        if self._broken is not None:
            raise Broken(f"an earlier write failed: {self._broken}")
        try:
            return _once(self._writer, work)
        except Broken as error:
            self._broken = error
            raise

    async def close(self) -> None:
        """Let the last write finish, then close the readers, then the writer, which checkpoints."""
        for threads in (self._reading, self._writing):
            await asyncio.to_thread(threads.shutdown)
        self._reader.dispose()
        self._writer.dispose()
        os.close(self._lock)


class MemoryDatabase:
    """A database in memory that runs everything at once, on the caller's thread: for simulations."""

    def __init__(self, image: bytes | None = None) -> None:
        pragmas = {"foreign_keys": "ON", "trusted_schema": "OFF"}
        self._engine = create_engine(
            "sqlite://",
            poolclass=StaticPool,
            connect_args={"check_same_thread": False, "isolation_level": None},
        )
        _prepare(self._engine, pragmas, "BEGIN")
        if image is not None:
            with self._engine.connect() as connection:
                _raw(connection).deserialize(image)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, here and now."""
        return _once(self._engine, work)

    def image(self) -> bytes:
        """Everything in it, as bytes from which another one can begin."""
        with self._engine.connect() as connection:
            return _raw(connection).serialize()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`."""
        return self.run(work)

    async def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run `work`."""
        return self.run(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` and commit, to memory."""
        return self.run(work)

    async def close(self) -> None:
        """Forget everything."""
        self._engine.dispose()


def check_durable(connection: Connection) -> None:
    """Refuse a connection whose commits could be lost.

    Raises:
        Refused: code `not_durable`.
    """
    for pragma, expected in (("synchronous", _FULL), ("journal_mode", "wal"), ("foreign_keys", 1)):
        found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
        if found != expected:
            raise Refused("not_durable", f"sqlite: expected `{pragma}` to be `{expected}`, got `{found}`")


def _raw(connection: Connection) -> sqlite3.Connection:
    if connection.in_transaction():
        connection.rollback()  # an image is made and read outside of one
    return cast("sqlite3.Connection", connection.connection.driver_connection)


def _once(engine: Engine, work: Callable[[Connection], T]) -> T:
    with own_errors(), engine.begin() as connection:
        return work(connection)


async def _in_thread(threads: Executor, call: Callable[[], T], deadline: timedelta) -> T:
    async def run() -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, call)

    return await _within(deadline, run())


async def _within(deadline: timedelta, answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            return await answer
    except TimeoutError as error:
        raise Unavailable("store_unavailable", f"the database did not answer within {deadline}") from error
    except RuntimeError as error:  # the threads are gone
        raise Unavailable("store_unavailable", "the store is closed") from error


def _engine(path: Path, pragmas: dict[str, str], *, begin: str, size: int) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_reset_on_return="rollback",
        connect_args={"check_same_thread": False, "isolation_level": None, "cached_statements": 256},
    )
    _prepare(engine, pragmas, begin)
    return engine


def _prepare(engine: Engine, pragmas: dict[str, str], begin: str) -> None:
    def configure(connection: Any, _record: object) -> None:
        for pragma, value in pragmas.items():
            connection.execute(f"PRAGMA {pragma} = {value}")

    def start(connection: Connection) -> None:
        # The driver would begin only at the first write, and let reads slip out of the snapshot.
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", configure)
    event.listen(engine, "begin", start)


def _hold(path: Path) -> int:
    """Lock the database for this process; the lock goes with the process, however it ends."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise Unavailable(
            "store_locked", f"another process uses `{path.name}`; SQLite serves one at a time"
        ) from error
    return lock


def _private(path: Path) -> None:
    """Make the file ours alone before anything is in it; its journal takes the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
