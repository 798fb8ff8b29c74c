"""The admin's connections: few, one small stack a database, thrown away when in doubt.

A connection goes back only after a clean use or an error the server itself answered; a
cancelled, timed-out or broken one is aborted, because its state is unknown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from sojourn.core.errors import TargetError
from sojourn.core.secret import Secret
from sojourn.providers.postgresql.config import Config, tls
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, Connection, Login, PostgresError, connect

CONNECT_SECONDS: Final = 3.0
STATEMENT_MS: Final = 5_000  # the server stops our own statements, should we vanish
LOCK_MS: Final = 1_000  # a hostile client may hold locks; rather fail, cut it and come again
CLOSE_SECONDS: Final = 1.0

# No name of ours may be resolved through a schema that a workload can write to.
_SETTINGS: Final = {
    "application_name": "sojourn",
    "search_path": "pg_catalog",
    "statement_timeout": str(STATEMENT_MS),
    "lock_timeout": str(LOCK_MS),
    "idle_in_transaction_session_timeout": str(STATEMENT_MS),
    "default_transaction_isolation": "read committed",
}


class Admin:
    """Lends connections to the target as its admin."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._password = config.password
        self._tls = tls(config)
        self._slots = asyncio.Semaphore(config.pool_size)
        # Taking away never queues behind giving: makers get at most half of the slots.
        self._maker_slots = asyncio.Semaphore(max(1, config.pool_size // 2))
        self._turns: dict[str, asyncio.Lock] = {}
        self._idle: dict[str, list[Connection]] = {}
        self._closed = False

    @property
    def home(self) -> str:
        """The database that the admin logs in to."""
        return self._config.database

    def replace_password(self, password: Secret) -> None:
        """Use `password` for every login from now on; open connections stay."""
        self._password = password

    @asynccontextmanager
    async def lend(self, database: str | None = None) -> AsyncIterator[Connection]:
        """Lend a connection to `database`, the admin's own by default."""
        name = database or self._config.database
        async with self._slots:
            connection = self._take(name) or await self.login(name)
            try:
                yield connection
            except PostgresError:
                self._give_back(name, connection)
                raise
            except BaseException:
                connection.terminate()
                raise
            self._give_back(name, connection)

    @asynccontextmanager
    async def lend_to_maker(self, database: str | None = None) -> AsyncIterator[Connection]:
        """Lend a connection for making a credential, without crowding out the destroyers."""
        async with self._maker_slots, self.lend(database) as connection:
            yield connection

    def turn(self, database: str) -> asyncio.Lock:
        """Held while privileges change in `database`: two GRANTs on one object at a time fail or deadlock.

        Kept here and not in the target, where any session could take an advisory lock of ours
        and hold up every removal.
        """
        return self._turns.setdefault(database, asyncio.Lock())

    async def login(
        self, database: str, *, user: str | None = None, secret: Secret | None = None
    ) -> Connection:
        """Open a connection outside the pool; the caller closes it."""
        password = secret or self._password
        name, host, port = user or self._config.user, self._config.host, self._config.port
        login = Login(host, port, database, name, password, self._tls, _SETTINGS)
        return await connect(login, seconds=CONNECT_SECONDS)

    async def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        self._closed = True
        idle = [one for stack in self._idle.values() for one in stack]
        self._idle.clear()
        for connection in idle:
            await hang_up(connection)

    def _take(self, name: str) -> Connection | None:
        stack = self._idle.get(name, [])
        while stack:
            connection = stack.pop()
            if not connection.is_closed():
                return connection
        return None

    def _give_back(self, name: str, connection: Connection) -> None:
        stack = self._idle.setdefault(name, [])
        if self._closed or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
            return
        stack.append(connection)
        # Many databases must not add up to many idle connections.
        if sum(map(len, self._idle.values())) > self._config.pool_size:
            self._drop_one(other_than=name)

    def _drop_one(self, *, other_than: str) -> None:
        for name, stack in self._idle.items():
            if stack and name != other_than:
                stack.pop(0).terminate()
                return


async def hang_up(connection: Connection) -> None:
    """Close a connection politely, or at least close it."""
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (PostgresError, *DRIVER_ERRORS):
        connection.terminate()


async def load_plan(connection: Connection, plan: Mapping[str, object], *, statement_ms: int) -> datetime:
    """Put what the next block needs into a setting of this connection; returns the server's time.

    Values travel as a bound parameter and are quoted by the server (`format('%I', …)`), so
    the text of every statement with an effect is constant: no name can break out of it.
    """
    return checked_time(
        await connection.fetchval(
            "SELECT clock_timestamp() FROM set_config('sojourn.plan', $1, false) AS plan,"
            " set_config('statement_timeout', $2, false) AS bound",
            json.dumps(plan),
            str(statement_ms),
        )
    )


async def run_block(
    connection: Connection, block: str, plan: Mapping[str, object], *, statement_ms: int = STATEMENT_MS
) -> None:
    """Run one constant block over `plan`, as a transaction of its own, sent once."""
    await load_plan(connection, plan, statement_ms=statement_ms)
    await connection.execute(block)


def checked_time(value: object) -> datetime:
    """The server's clock, read as an aware instant."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    raise TargetError("target_refused", "the server's clock could not be read")
