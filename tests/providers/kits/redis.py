"""Redis: workloads that append to a stream, and an administrator of our own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued
from sojourn.providers._common.address import read_address
from sojourn.providers.redis import Redis
from sojourn.providers.redis.fence import server_now
from sojourn.providers.redis.wire import Connection, ServerError, connect
from tests.providers.kits.by_password import ADMIN_PASSWORD, ByPassword
from tests.providers.kits.kit import user_of
from tests.rig.redis_server import RedisServer

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


class RedisKit(ByPassword[Connection]):
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
    url = "redis://governor:{password}@127.0.0.1:{port}"
    makes = Redis
    refusals = (ServerError,)
    failures = (ServerError, OSError)

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        super().__init__(server.port)

    async def set_password(self, password: str) -> None:
        await self.ask("ACL", "SETUSER", "governor", "resetpass", f">{password}")

    async def log_in(self, issued: Issued) -> Connection:
        return await self._connected(user_of(issued), issued.secret)

    async def log_in_as_root(self) -> Connection:
        return await self._connected("default", Secret(ROOT_PASSWORD))

    async def _connected(self, user: str, password: Secret) -> Connection:
        return await connect(read_address(self.secret(self.port), {"redis": 0}), user, password)

    async def write(self, connection: Connection, user: str) -> None:
        await connection.ask("XADD", f"orders:{user}", "*", "x", 1)

    def hang_up(self, connection: Connection) -> None:
        connection.drop()

    async def writes(self, handle: str) -> int:
        return int(await self.ask("XLEN", f"orders:{handle}"))

    async def last_write(self, handle: str) -> datetime | None:
        last = await self.ask("XREVRANGE", f"orders:{handle}", "+", "-", "COUNT", 1)
        return datetime.fromtimestamp(int(last[0][0].split("-")[0]) / 1000, UTC) if last else None

    async def target_now(self) -> datetime:
        async with self.root() as root:
            return await server_now(root)

    async def survivors(self, target_id: str) -> int:
        listed = str(await self.ask("CLIENT", "LIST"))
        return await self.accounts(target_id) + listed.count(f" user={target_id} ")

    async def accounts(self, handle: str) -> int:
        return list(await self.ask("ACL", "USERS")).count(handle)

    async def ask(self, *words: str | int) -> Any:
        """One command of the independent administrator."""
        async with self.root() as root:
            return await root.ask(*words)
