"""PostgreSQL: workloads that insert orders, and a superuser of our own."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued
from sojourn.providers.postgresql import PostgreSQL
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, Connection, Login, PostgresError, connect
from tests.providers.kits.by_password import ADMIN_PASSWORD, ByPassword
from tests.providers.kits.kit import user_of
from tests.rig.postgres import PostgresServer

# Exactly what docs/reference/providers/postgresql.md says the admin needs.
ADMIN = f"""
CREATE ROLE governor LOGIN CREATEROLE PASSWORD '{ADMIN_PASSWORD}';
GRANT pg_signal_backend TO governor;
"""
SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL
  DEFAULT clock_timestamp(), who text);
CREATE TABLE shop.items (id int);
GRANT USAGE ON SCHEMA shop TO governor WITH GRANT OPTION;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA shop TO governor WITH GRANT OPTION;
"""


def prepare(server: PostgresServer) -> None:
    """What an operator would do once, and a shop to be let into."""
    server.sql(ADMIN)
    server.sql("CREATE DATABASE shop")
    server.sql(SHOP, "shop")


class PostgresKit(ByPassword[Connection]):
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
    url = "postgresql://governor:{password}@127.0.0.1:{port}/postgres"
    makes = PostgreSQL
    told: ClassVar = {"databases": ["shop"]}
    refusals = (PostgresError,)
    failures = (PostgresError, *DRIVER_ERRORS)

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        super().__init__(server.port)

    async def set_password(self, password: str) -> None:
        self.server.sql(f"ALTER ROLE governor PASSWORD '{password}'")

    async def log_in(self, issued: Issued) -> Connection:
        return await self._connected(user_of(issued), issued.secret)

    async def log_in_as_root(self) -> Connection:
        return await self._connected("postgres", Secret(self.server.password))

    async def _connected(self, user: str, password: Secret) -> Connection:
        return await connect(Login("127.0.0.1", self.port, "shop", user, password, None, {}), seconds=5)

    async def write(self, connection: Connection, user: str) -> None:
        await connection.execute(f"INSERT INTO shop.orders (who) VALUES ('{user}')")

    def hang_up(self, connection: Connection) -> None:
        connection.terminate()

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

    async def _ask(self, query: str, *values: object) -> object:
        async with self.root() as root:
            return await root.fetchval(query, *values)
