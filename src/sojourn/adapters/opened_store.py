"""Open the store: migrate, check that commits are durable, and settle the epoch."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from pathlib import Path

from sojourn.adapters import postgres_database, sql_epoch, sql_reads, sql_work
from sojourn.adapters.high_water import HighWater
from sojourn.adapters.migrations.upgrade import upgrade
from sojourn.adapters.postgres_database import PostgresDatabase
from sojourn.adapters.sql_database import Broken, Database, Rejected
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.sqlite_database import MemoryDatabase, SqliteDatabase
from sojourn.core.errors import Unavailable
from sojourn.core.secret import Secret

log = logging.getLogger(__name__)


async def open_sqlite(path: Path, *, high_water: HighWater | None = None) -> SqlStore:
    """The store in one file, for this process alone.

    Raises:
        Unavailable: code `store_locked`; another process uses it.
        Refused: code `not_durable`.
    """
    return await opened(SqliteDatabase(path), high_water, alone=True)


async def open_postgres(dsn: Secret, *, high_water: HighWater | None = None) -> SqlStore:
    """The store in a PostgreSQL that many nodes may share.

    Raises:
        Refused: code `not_durable`.
        Invalid: code `bad_dsn`.
    """
    database = PostgresDatabase(dsn)
    try:
        await database.read(postgres_database.check_durable)
    except BaseException:
        await database.close()
        raise
    return await opened(database, high_water)


async def open_memory() -> SqlStore:
    """A store that lives as long as the process and needs no thread: for simulations."""
    return await opened(MemoryDatabase(_empty_image()))


@cache
def _empty_image() -> bytes:
    # Thousands of simulations begin with the same empty database; it is migrated once.
    template = MemoryDatabase()
    template.run(upgrade)
    return template.image()


async def opened(database: Database, high_water: HighWater | None = None, *, alone: bool = False) -> SqlStore:
    """The store over `database`, migrated, in its epoch; the database is closed if that fails.

    `alone`: no other process uses it, so what an earlier one held is free again.
    """
    try:
        await database.write(upgrade)
        epoch = await _settle_epoch(database, high_water)
        if alone:
            await database.write(sql_work.release_all)
    except (Rejected, Broken) as error:
        await database.close()
        raise Unavailable(
            "store_unavailable", f"the database cannot be brought up to date: {error}"
        ) from error
    except BaseException:
        await database.close()
        raise
    waiting = await database.read(sql_epoch.anything_waits)
    if waiting:
        log.warning("since a restore targets or sessions wait for `sojourn target reconcile --all --apply`")
    return SqlStore(database, epoch=epoch, high_water=high_water, waiting=waiting, alone=alone)


async def _settle_epoch(database: Database, high_water: HighWater | None) -> int:
    """The epoch of the head, or a new one if time may have run back."""
    known = await asyncio.to_thread(high_water.read) if high_water else None
    place = None
    if isinstance(database, PostgresDatabase):
        place = await database.stay()
        if place is None:
            log.warning("PostgreSQL does not tell its timeline: only the high-water file shows a failover")
    epoch = await database.write(lambda connection: sql_epoch.settle(connection, known, place))
    if high_water is not None and known is not None and epoch > known.epoch:
        await asyncio.to_thread(high_water.raise_to, await database.read(sql_reads.head))
    return epoch
