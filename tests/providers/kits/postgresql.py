"""PostgreSQL: workloads that insert orders, and a superuser of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued, Provider
from sojourn.providers.postgresql import PostgreSQL
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, Connection, Login, PostgresError, connect
from tests.providers.kits.kit import Kit, SystemNow, user_of, working
from tests.rig.postgres import PostgresServer

ADMIN_PASSWORD = "admin-of-the-tests"

ADMIN = f"""
CREATE ROLE governor LOGIN CREATEROLE PASSWORD '{ADMIN_PASSWORD}';
GRANT pg_signal_backend TO governor;
"""
SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL
  DEFAULT clock_timestamp(), who text);
GRANT USAGE ON SCHEMA shop TO governor WITH GRANT OPTION;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA shop TO governor WITH GRANT OPTION;
"""


def prepare(server: PostgresServer) -> None:
    """What an operator would do once, and a shop to be let into."""
    server.sql(ADMIN)
    server.sql("CREATE DATABASE shop")
    server.sql(SHOP, "shop")


class PostgresKit(Kit):
    """One PostgreSQL server and its provider."""

    name = "postgresql"
    template: ClassVar = {
        "database": "shop",
        "schemas": {"shop": {"privileges": ["USAGE"]}},
        "tables": [{"schema": "shop", "name": "*", "privileges": ["SELECT", "INSERT"]}],
    }

    issue_word = b"CREATE ROLE"
    thaw_word = b"LOGIN PASSWORD"
    destroy_words = (b"PASSWORD NULL", b"pg_terminate_backend(a.pid)) FROM", b"DROP OWNED")

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.port = server.port
        self.made = self.through(server.port)
        self._root: Connection | None = None
        self._turn = asyncio.Lock()

    def secret(self, port: int, password: str = ADMIN_PASSWORD) -> Secret:
        return Secret(f"postgresql://governor:{password}@127.0.0.1:{port}/postgres")

    def through(self, port: int, secret: Secret | None = None, **settings: float) -> Provider:
        told = {"databases": ["shop"], "client_port": self.port, **settings}
        return PostgreSQL.configured(told, {}, secret or self.secret(port), SystemNow())

    def governed(self) -> tuple[Secret, Mapping[str, object]]:
        return self.secret(self.port), {"databases": ["shop"]}

    async def rotate(self) -> Secret:
        self.server.sql("ALTER ROLE governor PASSWORD 'second'")
        return self.secret(self.port, "second")

    async def unrotate(self) -> None:
        self.server.sql(f"ALTER ROLE governor PASSWORD '{ADMIN_PASSWORD}'")

    async def can_log_in(self, issued: Issued) -> bool:
        try:
            connection = await self._log_in(user_of(issued), issued.secret)
        except PostgresError:
            return False
        connection.terminate()
        return True

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        async def write() -> None:
            user = user_of(issued)
            while True:
                try:
                    connection = await self._log_in(user, issued.secret)
                    while True:
                        await connection.execute(f"INSERT INTO shop.orders (who) VALUES ('{user}')")
                        await asyncio.sleep(every)
                except (PostgresError, *DRIVER_ERRORS):
                    await asyncio.sleep(every / 4)

        async with working(write, tasks):
            yield

    async def writes(self, handle: str) -> int:
        return int(str(await self._ask("SELECT count(*) FROM shop.orders WHERE who = $1", handle)))

    async def last_write(self, handle: str) -> datetime | None:
        last = await self._ask("SELECT max(at) FROM shop.orders WHERE who = $1", handle)
        return last if isinstance(last, datetime) else None

    async def target_now(self) -> datetime:
        now = await self._ask("SELECT clock_timestamp()")
        assert isinstance(now, datetime)
        return now

    async def survivors(self, target_id: str) -> int:
        query = (
            "SELECT (SELECT count(*) FROM pg_authid WHERE oid = $1)"
            " + (SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1)"
        )
        return int(str(await self._ask(query, int(target_id))))

    async def accounts(self, handle: str) -> int:
        return int(str(await self._ask("SELECT count(*) FROM pg_roles WHERE rolname = $1", handle)))

    async def close(self) -> None:
        await self.made.close()
        if self._root is not None:
            self._root.terminate()

    async def _ask(self, query: str, *values: object) -> object:
        async with self._turn:
            if self._root is None or self._root.is_closed():
                self._root = await self._log_in("postgres", Secret(self.server.password))
            return await self._root.fetchval(query, *values)

    async def _log_in(self, user: str, password: Secret) -> Connection:
        return await connect(Login("127.0.0.1", self.port, "shop", user, password, None, {}), seconds=5)
