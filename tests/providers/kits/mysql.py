"""MariaDB: workloads that insert orders, and an administrator of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued, Provider
from sojourn.providers._common.address import read_address
from sojourn.providers.mysql import MySQL
from sojourn.providers.mysql.wire import Connection, ServerError, connect
from tests.providers.kits.kit import Kit, SystemNow, user_of, working
from tests.rig.mariadb import MariaServer

ADMIN_PASSWORD = "admin-of-the-tests"

# Exactly what docs/reference/providers/mysql.md says the admin needs.
ADMIN = f"""
CREATE USER governor@'127.0.0.1' IDENTIFIED BY '{ADMIN_PASSWORD}';
GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO governor@'127.0.0.1';
GRANT SELECT ON mysql.global_priv TO governor@'127.0.0.1';
"""
_SHOP = """
CREATE DATABASE shop;
CREATE TABLE shop.orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, who VARCHAR(80), INDEX (who),
  at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6));
CREATE TABLE shop.items (id INT);
GRANT SELECT, INSERT ON shop.* TO governor@'127.0.0.1' WITH GRANT OPTION;
"""


def prepare(server: MariaServer) -> None:
    """What an operator would do once, and a shop to be let into."""
    server.sql(ADMIN + _SHOP)


class MySQLKit(Kit):
    """One MariaDB server and its provider."""

    name = "mysql"
    template: ClassVar = {"database": "shop", "schemas": {"shop": {"privileges": ["SELECT", "INSERT"]}}}
    issue_word = b"CREATE USER"
    thaw_word = b"ACCOUNT UNLOCK"
    destroy_words = (b"ACCOUNT LOCK", b"processlist WHERE USER", b"DROP USER")

    def __init__(self, server: MariaServer) -> None:
        self.server = server
        self.port = server.port
        self.made = self.through(server.port)
        self._root: Connection | None = None
        self._turn = asyncio.Lock()

    def secret(self, port: int, password: str = ADMIN_PASSWORD) -> Secret:
        return Secret(f"mysql://governor:{password}@127.0.0.1:{port}/")

    def through(self, port: int, secret: Secret | None = None, **settings: float) -> Provider:
        told = {"client_port": self.port, **settings}
        return MySQL.configured(told, {}, secret or self.secret(port), SystemNow())

    def governed(self) -> tuple[Secret, Mapping[str, object]]:
        return self.secret(self.port), {}

    async def rotate(self) -> Secret:
        self.server.sql("ALTER USER governor@'127.0.0.1' IDENTIFIED BY 'second'")
        return self.secret(self.port, "second")

    async def unrotate(self) -> None:
        self.server.sql(f"ALTER USER governor@'127.0.0.1' IDENTIFIED BY '{ADMIN_PASSWORD}'")

    async def can_log_in(self, issued: Issued) -> bool:
        try:
            connection = await self.log_in(issued)
        except ServerError:
            return False
        connection.drop()
        return True

    async def log_in(self, issued: Issued) -> Connection:
        address = read_address(self.secret(self.port), {"mysql": 0})
        return await connect(
            address, user_of(issued), issued.secret, database=issued.connection.get("database")
        )

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        async def write() -> None:
            while True:
                try:
                    connection = await self.log_in(issued)
                    while True:
                        await connection.execute(f"INSERT INTO orders (who) VALUES ('{user_of(issued)}')")
                        await asyncio.sleep(every)
                except (ServerError, OSError):
                    await asyncio.sleep(every / 4)

        async with working(write, tasks):
            yield

    async def writes(self, handle: str) -> int:
        return int(str(await self._ask("SELECT COUNT(*) FROM shop.orders WHERE who = %s", handle)))

    async def last_write(self, handle: str) -> datetime | None:
        last = await self._ask("SELECT MAX(at) FROM shop.orders WHERE who = %s", handle)
        return last.replace(tzinfo=UTC) if isinstance(last, datetime) else None

    async def target_now(self) -> datetime:
        now = await self._ask("SELECT SYSDATE(6)")
        assert isinstance(now, datetime)
        return now.replace(tzinfo=UTC)

    async def survivors(self, target_id: str) -> int:
        query = "SELECT COUNT(*) FROM information_schema.processlist WHERE USER = %s"
        return await self.accounts(target_id) + int(str(await self._ask(query, target_id)))

    async def accounts(self, handle: str) -> int:
        query = "SELECT COUNT(*) FROM mysql.user WHERE User = %s"
        return int(str(await self._ask(query, handle)))

    async def close(self) -> None:
        await self.made.close()
        if self._root is not None:
            self._root.drop()

    async def _ask(self, query: str, *values: object) -> object:
        async with self._turn:
            if self._root is None or self._root.is_closed():
                address = read_address(self.secret(self.port), {"mysql": 0})
                self._root = await connect(address, "boss", Secret(self.server.password))
                await self._root.execute("SET time_zone = '+00:00'")
            return (await self._root.fetch(query, *values))[0][0]
