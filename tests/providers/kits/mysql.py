"""MariaDB and MySQL: workloads that insert orders, and an administrator of our own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued
from sojourn.providers._common.address import read_address
from sojourn.providers.mysql import MySQL
from sojourn.providers.mysql.wire import Connection, ServerError, connect
from tests.providers.kits.by_password import ADMIN_PASSWORD, ByPassword
from tests.providers.kits.kit import user_of
from tests.rig.mariadb import MariaServer
from tests.rig.mysql_server import MySQLServer

# Exactly what docs/reference/providers/mysql.md says the admin needs.
ADMIN = f"""
CREATE USER governor@'127.0.0.1' IDENTIFIED BY '{ADMIN_PASSWORD}';
GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO governor@'127.0.0.1';
GRANT SELECT ON mysql.global_priv TO governor@'127.0.0.1';
"""
MYSQL_ADMIN = f"""
CREATE USER governor@'127.0.0.1' IDENTIFIED BY '{ADMIN_PASSWORD}';
GRANT CREATE USER, PROCESS ON *.* TO governor@'127.0.0.1';
GRANT CONNECTION_ADMIN ON *.* TO governor@'127.0.0.1';
GRANT SELECT (User, Host, account_locked, password_expired, password_last_changed,
  Super_priv, File_priv, Grant_priv, Create_user_priv) ON mysql.user TO governor@'127.0.0.1';
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
    server.sql((MYSQL_ADMIN if isinstance(server, MySQLServer) else ADMIN) + _SHOP)


class MariaKit(ByPassword[Connection]):
    """One MariaDB server and its provider."""

    name = "mariadb"
    provider_name = "mysql"
    template: ClassVar = {"database": "shop", "schemas": {"shop": {"privileges": ["SELECT", "INSERT"]}}}
    issue_word = b"CREATE USER"
    thaw_word = b"ACCOUNT UNLOCK"
    destroy_words = (b"ACCOUNT LOCK", b"processlist WHERE USER", b"DROP USER")
    url = "mysql://governor:{password}@127.0.0.1:{port}/"
    makes = MySQL
    refusals = (ServerError,)
    failures = (ServerError, OSError)

    def __init__(self, server: MariaServer) -> None:
        self.server = server
        super().__init__(server.port)

    async def set_password(self, password: str) -> None:
        self.server.sql(f"ALTER USER governor@'127.0.0.1' IDENTIFIED BY '{password}'")

    async def log_in(self, issued: Issued) -> Connection:
        address = read_address(self.secret(self.port), {"mysql": 0})
        return await connect(
            address, user_of(issued), issued.secret, database=issued.connection.get("database")
        )

    async def log_in_as_root(self) -> Connection:
        address = read_address(self.secret(self.port), {"mysql": 0})
        root = await connect(address, "boss", Secret(self.server.password))
        await root.execute("SET time_zone = '+00:00'")
        return root

    async def write(self, connection: Connection, user: str) -> None:
        await connection.execute(f"INSERT INTO orders (who) VALUES ('{user}')")

    def hang_up(self, connection: Connection) -> None:
        connection.drop()

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

    async def _ask(self, query: str, *values: object) -> object:
        async with self.root() as root:
            return (await root.fetch(query, *values))[0][0]


class MySQLKit(MariaKit):
    """One server of Oracle's MySQL and the same provider."""

    name = "mysql"
