"""NATS: workloads that publish orders, and a subscriber of our own who counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from nats.aio.client import Client
from nats.aio.msg import Msg

from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued, Provider
from sojourn.providers._common.address import read_address
from sojourn.providers.nats import NATS
from sojourn.providers.nats.account import entries
from sojourn.providers.nats.config import Config, configured
from sojourn.providers.nats.nkeys import USER, Key, new_key, read_claims, read_credentials
from sojourn.providers.nats.wire import FAILURES, alone, as_system_user, logged_in
from tests.providers.kits.kit import Kit, SystemNow, user_of, working
from tests.rig.nats_server import NatsServer


class NatsKit(Kit):
    """One server and its provider."""

    name = "nats"
    template: ClassVar = {"publish": ["orders.>"], "subscribe": ["orders.>"]}
    issue_word = b"CLAIMS.UPDATE"
    thaw_word = b"CLAIMS.UPDATE"
    destroy_words = (b"CLAIMS.LOOKUP", b"CLAIMS.UPDATE", b"CONNZ")
    fence_seconds = 2.0
    pooled = False
    removes_at_once = True

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.port = server.port
        self.made = self.through(server.port)
        self._config: Config = configured({}, {}, server.secret())
        self._seen: dict[str, list[datetime]] = {}

    def through(self, port: int, secret: Secret | None = None, **settings: float) -> Provider:
        told = {"client_port": self.port, **settings}
        return NATS.configured(told, {}, secret or self.server.secret(port), SystemNow())

    def governed(self) -> tuple[Secret, Mapping[str, object]]:
        return self.server.secret(), {}

    async def rotate(self) -> Secret:
        """The system account no longer knows the key that the admin signs with."""
        await self._replace_system(self.server.spare)
        return self.server.secret(system=self.server.spare)

    async def unrotate(self) -> None:
        await self._replace_system(self.server.system_signer)

    async def _replace_system(self, *signers: Key) -> None:
        """As an operator would, with the key of the system account itself."""
        config = replace(self._config, system=self.server.system)
        async with as_system_user(config, "root", datetime.now(UTC) + timedelta(minutes=1)) as root:
            await root.replace_account(read_claims(self.server.system_token(*signers)), datetime.now(UTC))

    async def can_log_in(self, issued: Issued) -> bool:
        try:
            async with self.log_in(issued):
                return True
        except FAILURES.kinds:
            return False

    def log_in(self, issued: Issued) -> AbstractAsyncContextManager[Client]:
        token, key = read_credentials(issued.secret)
        address = read_address(Secret(f"nats://a:b@127.0.0.1:{self.port}"), {"nats": 0})
        return logged_in(address, token, key, name="work")

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        subject = f"orders.{user_of(issued)}"
        seen = self._seen.setdefault(user_of(issued), [])

        async def note(_: Msg) -> None:
            seen.append(datetime.now(UTC))

        async def write() -> None:
            while True:
                try:
                    async with self.log_in(issued) as client:
                        while client.is_connected:
                            await alone(client.publish(subject, b""))
                            await alone(client.flush(1))
                            await asyncio.sleep(every)
                except FAILURES.kinds:
                    await asyncio.sleep(every / 4)

        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(self._as_account())
            await admin.subscribe(subject, cb=note)
            await admin.flush()
            await stack.enter_async_context(working(write, tasks))
            yield

    def _as_account(self) -> AbstractAsyncContextManager[Client]:
        """A user of the account itself, which no removed key touches."""
        key, until = new_key(USER), datetime.now(UTC) + timedelta(minutes=5)
        body = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        claims = {"sub": key.public, "exp": int(until.timestamp()), "nats": body}
        address = read_address(Secret(f"nats://a:b@127.0.0.1:{self.port}"), {"nats": 0})
        return logged_in(address, self.server.account.sign(claims), key, name="admin")

    async def writes(self, handle: str) -> int:
        return len(self._seen.get(handle, []))

    async def last_write(self, handle: str) -> datetime | None:
        return max(self._seen.get(handle, []), default=None)

    async def target_now(self) -> datetime:
        return datetime.now(UTC)  # the server runs on this machine

    async def survivors(self, target_id: str) -> int:
        async with as_system_user(self._config, "root", datetime.now(UTC) + timedelta(minutes=1)) as root:
            listed = [one for one in entries(await root.account()) if one.target_id == target_id]
            keys = {one.get("issuer_key") for one in await root.connections(self.server.account.public)}
        return len(listed) + int(target_id in keys)

    async def accounts(self, handle: str) -> int:
        async with as_system_user(self._config, "root", datetime.now(UTC) + timedelta(minutes=1)) as root:
            return sum(one.handle == handle for one in entries(await root.account()))

    async def close(self) -> None:
        await self.made.close()
