"""Redis: workloads that append to a stream, and an administrator of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued, Provider
from sojourn.providers._common.address import read_address
from sojourn.providers.redis import Redis
from sojourn.providers.redis.fence import server_now
from sojourn.providers.redis.wire import Connection, ServerError, connect
from tests.providers.kits.kit import Kit, SystemNow, user_of, working
from tests.rig.redis_server import RedisServer

ADMIN_PASSWORD = "admin-of-the-tests"
ROOT_PASSWORD = "root-of-the-tests"

# Exactly what docs/reference/providers/redis.md says the admin needs.
ADMIN = (
    "~sojourn:fence:* +acl +client|list +client|id +client|kill +info +time"
    " +multi +exec +watch +unwatch +set +get +del"
)
USERS = (
    f"user default on >{ROOT_PASSWORD} ~* &* +@all",
    f"user governor on >{ADMIN_PASSWORD} {ADMIN}",
)


class RedisKit(Kit):
    """One Redis server and its provider."""

    name = "redis"
    template: ClassVar = {
        "keys": ["orders:*"],
        "channels": ["orders.*"],
        "categories": ["stream", "pubsub", "string"],
    }
    issue_word = b"SETUSER"
    thaw_word = b"SETUSER"
    destroy_words = (b"GETUSER", b"DELUSER", b"SAVE")
    removes_at_once = True

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.port = server.port
        self.made = self.through(server.port)
        self._root: Connection | None = None
        self._turn = asyncio.Lock()

    def secret(self, port: int, password: str = ADMIN_PASSWORD) -> Secret:
        return Secret(f"redis://governor:{password}@127.0.0.1:{port}")

    def through(self, port: int, secret: Secret | None = None, **settings: float) -> Provider:
        told = {"client_port": self.port, **settings}
        return Redis.configured(told, {}, secret or self.secret(port), SystemNow())

    def governed(self) -> tuple[Secret, Mapping[str, object]]:
        return self.secret(self.port), {}

    async def rotate(self) -> Secret:
        await self.ask("ACL", "SETUSER", "governor", "resetpass", ">second")
        return self.secret(self.port, "second")

    async def unrotate(self) -> None:
        await self.ask("ACL", "SETUSER", "governor", "resetpass", f">{ADMIN_PASSWORD}")

    async def can_log_in(self, issued: Issued) -> bool:
        try:
            connection = await self.log_in(issued)
        except ServerError:
            return False
        connection.drop()
        return True

    async def log_in(self, issued: Issued) -> Connection:
        return await connect(
            read_address(self.secret(self.port), {"redis": 0}), user_of(issued), issued.secret
        )

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        async def write() -> None:
            while True:
                try:
                    connection = await self.log_in(issued)
                    while True:
                        await connection.ask("XADD", f"orders:{user_of(issued)}", "*", "x", 1)
                        await asyncio.sleep(every)
                except (ServerError, OSError):
                    await asyncio.sleep(every / 4)

        async with working(write, tasks):
            yield

    async def writes(self, handle: str) -> int:
        return int(await self.ask("XLEN", f"orders:{handle}"))

    async def last_write(self, handle: str) -> datetime | None:
        last = await self.ask("XREVRANGE", f"orders:{handle}", "+", "-", "COUNT", 1)
        return datetime.fromtimestamp(int(last[0][0].split("-")[0]) / 1000, UTC) if last else None

    async def target_now(self) -> datetime:
        async with self._turn:
            return await server_now(await self._connection())

    async def survivors(self, target_id: str) -> int:
        listed = str(await self.ask("CLIENT", "LIST"))
        return await self.accounts(target_id) + listed.count(f" user={target_id} ")

    async def accounts(self, handle: str) -> int:
        return list(await self.ask("ACL", "USERS")).count(handle)

    async def close(self) -> None:
        await self.made.close()
        if self._root is not None:
            self._root.drop()

    async def ask(self, *words: str | int) -> Any:
        """One command of the independent administrator."""
        async with self._turn:
            return await (await self._connection()).ask(*words)

    async def _connection(self) -> Connection:
        if self._root is None or self._root.is_closed():
            address = read_address(self.secret(self.port), {"redis": 0})
            self._root = await connect(address, "default", Secret(ROOT_PASSWORD))
        return self._root
