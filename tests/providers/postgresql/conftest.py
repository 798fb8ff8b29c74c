"""One server for all tests of this folder, in each pytest process; a shop to be let into."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Presence, Ref
from sojourn.providers.postgresql import Config, PostgreSQL
from sojourn.providers.postgresql.wire import Connection, Login, connect
from tests.providers.kits.by_password import ADMIN_PASSWORD
from tests.providers.kits.kit import SystemNow
from tests.providers.kits.postgresql import PostgresKit, prepare
from tests.rig.postgres import PostgresServer

SHOP: dict[str, object] = PostgresKit.template
BARE: dict[str, object] = {"database": "shop"}

_numbers = itertools.count(1)


@dataclass
class Bench:
    """A provider, the server it governs, and a second way in as superuser."""

    server: PostgresServer
    provider: PostgreSQL
    config: Config
    root: Connection

    def handle(self, tail: str = "") -> str:
        return f"soj_{next(_numbers):06d}{tail}"

    def intent(self, template: dict[str, object] | None = None, *, handle: str | None = None) -> Intent:
        now = datetime.now(UTC)
        by, end = now + timedelta(seconds=self.config.issue_seconds), now + timedelta(minutes=5)
        return Intent(handle or self.handle(), SHOP if template is None else template, by, end)

    async def issue(self, template: dict[str, object] | None = None, *, handle: str | None = None) -> Made:
        intent = self.intent(template, handle=handle)
        return Made(intent.handle, await self.provider.issue(intent))

    async def thaw(self, made: Made) -> Issued:
        return await self.provider.thaw(made.ref, self.intent(handle=made.ref.handle))

    async def login(self, made: Made) -> Connection:
        told = made.issued.connection
        return await log_in(
            self.server, told["user"], made.issued.secret.reveal(), told.get("database", "shop")
        )

    async def roles(self, pattern: str) -> int:
        return int(
            str(await self.root.fetchval("SELECT count(*) FROM pg_roles WHERE rolname LIKE $1", pattern))
        )

    async def backends(self, target_id: str) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1"
        return int(str(await self.root.fetchval(query, int(target_id))))


@dataclass
class Made:
    """One credential and what was told about it."""

    handle: str
    issued: Issued

    @property
    def ref(self) -> Ref:
        return Ref(self.handle, self.issued.target_id)


async def log_in(server: PostgresServer, user: str, password: str, database: str) -> Connection:
    login = Login("127.0.0.1", server.port, database, user, Secret(password), None, {})
    return await connect(login, seconds=5)


async def absent(bench: Bench, ref: Ref) -> bool:
    return (await bench.provider.observe(ref)).presence is Presence.ABSENT


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    one = PostgresServer(settings=("log_statement=all", "log_min_messages=debug1", "log_line_prefix="))
    try:
        one.start()
        prepare(one)
        one.sql('CREATE DATABASE "an""ne\'x"')
        yield one
    finally:
        one.remove()


def config_of(server: PostgresServer, *, port: int | None = None, **more: object) -> Config:
    members: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port or server.port,
        "database": "postgres",
        "user": "governor",
        "password": Secret(ADMIN_PASSWORD),
        "databases": ("shop", "an\"ne'x"),
        "sslmode": "disable",
        "client_port": server.port,
        **more,
    }
    return Config(**members)  # type: ignore[arg-type]


@pytest.fixture(params=["governor", "postgres"])
def admin_user(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(server: PostgresServer) -> AsyncIterator[Bench]:
    config = config_of(server)
    provider = PostgreSQL(config, SystemNow())
    root = await log_in(server, "postgres", server.password, "postgres")
    try:
        yield Bench(server, provider, config, root)
    finally:
        await provider.close()
        await root.close(timeout=2)
