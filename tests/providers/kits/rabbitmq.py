"""RabbitMQ: workloads that publish orders, and an administrator who consumes them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Provider
from sojourn.providers._common.address import read_address
from sojourn.providers.rabbitmq import RabbitMQ
from sojourn.providers.rabbitmq.amqp import Amqp, AmqpError
from sojourn.providers.rabbitmq.api import Api
from tests.providers.kits.kit import Kit, SystemNow, user_of, working
from tests.rig.rabbitmq_server import ROOT_PASSWORD, ROOT_USER, RabbitServer

ADMIN_USER = "governor"
ADMIN_PASSWORD = "admin-of-the-tests"
QUEUE = "orders"
SETTINGS = ("management.tcp.request_timeout = 2000",)  # what the guide says

CHANNEL_OPEN, CHANNEL_OPEN_OK = (20, 10), (20, 11)
DECLARE, DECLARE_OK = (50, 10), (50, 11)
CONSUME, CONSUME_OK = (60, 20), (60, 21)
PUBLISH, DELIVER = (60, 40), (60, 60)


async def open_amqp(port: int, user: str, password: Secret, vhost: str = "/") -> Amqp:
    """A logged-in connection with channel 1 open."""
    amqp = Amqp(*await asyncio.open_connection("127.0.0.1", port))
    try:
        await amqp.log_in(user, password, vhost)
        amqp.send(1, CHANNEL_OPEN, b"\x00")
        await amqp.expect(CHANNEL_OPEN_OK)
    except BaseException:
        amqp.hang_up()
        raise
    return amqp


def publish(amqp: Amqp, queue: str) -> None:
    """Send an empty message to `queue`, whose name is all it says."""
    amqp.send(1, PUBLISH, b"\x00\x00\x00" + _short(queue) + b"\x00")
    amqp.send_frame(2, 1, struct.pack(">HHQH", 60, 0, 0, 0))


async def consume(amqp: Amqp, queue: str) -> None:
    """Subscribe to `queue`, without acknowledgements."""
    amqp.send(1, CONSUME, b"\x00\x00" + _short(queue) + b"\x00\x02" + b"\x00\x00\x00\x00")
    await amqp.expect(CONSUME_OK)


async def declare(amqp: Amqp, queue: str) -> int:
    """See that there is such a queue; how many messages wait in it."""
    amqp.send(1, DECLARE, b"\x00\x00" + _short(queue) + b"\x00" + b"\x00\x00\x00\x00")
    answer = await amqp.expect(DECLARE_OK)
    return int.from_bytes(answer[1 + answer[0] :][:4], "big")


class RabbitKit(Kit):
    """One broker and its provider; what workloads publish is read here as it arrives."""

    name = "rabbitmq"
    template: ClassVar = {"write": ["amq.default"], "read": ["orders*"]}
    issue_word = b"PUT /api/users/"
    thaw_word = b"PUT /api/users/"
    fence_seconds = 2.5
    pooled = False
    destroy_words = (b"/permissions HTTP", b"DELETE /api/permissions", b"DELETE /api/users/")

    def __init__(self, server: RabbitServer) -> None:
        self.server = server
        self.port = server.port
        self.made = self.through(server.port)
        self.root = Api(read_address(self.secret(server.port, ROOT_PASSWORD, ROOT_USER), {"http": 0}))
        self._seen: dict[str, list[datetime]] = {}

    def secret(self, port: int, password: str = ADMIN_PASSWORD, user: str = ADMIN_USER) -> Secret:
        return Secret(f"http://{user}:{password}@127.0.0.1:{port}")

    def through(self, port: int, secret: Secret | None = None, **settings: float) -> Provider:
        told = {"client_port": self.server.amqp_port, **settings}
        return RabbitMQ.configured(told, {}, secret or self.secret(port), SystemNow())

    def governed(self) -> tuple[Secret, Mapping[str, object]]:
        return self.secret(self.port), {"client_port": self.server.amqp_port}

    def intent(self, *, handle: str | None = None) -> Intent:
        """With more time to send in: of the usual 3 s the broker's own timeout takes 2.5 s as settling."""
        return replace(super().intent(handle=handle), issue_by=datetime.now(UTC) + timedelta(seconds=10))

    async def rotate(self) -> Secret:
        self.server.set_administrator(ADMIN_USER, "second")
        return self.secret(self.port, "second")

    async def unrotate(self) -> None:
        self.server.set_administrator(ADMIN_USER, ADMIN_PASSWORD)

    async def can_log_in(self, issued: Issued) -> bool:
        try:
            amqp = await self.log_in(issued)
        except (AmqpError, OSError, EOFError):
            return False
        amqp.hang_up()
        return True

    async def log_in(self, issued: Issued) -> Amqp:
        return await open_amqp(self.server.amqp_port, user_of(issued), issued.secret)

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        async def write() -> None:
            while True:
                try:
                    amqp = await self.log_in(issued)
                except (AmqpError, OSError, EOFError):
                    await asyncio.sleep(every / 4)
                    continue
                cut = asyncio.ensure_future(amqp.until_cut())
                try:
                    while not cut.done():
                        publish(amqp, f"{QUEUE}.{user_of(issued)}")
                        await asyncio.wait([cut], timeout=every)
                finally:
                    cut.cancel()
                    amqp.hang_up()

        queue = f"{QUEUE}.{user_of(issued)}"
        admin = await open_amqp(self.server.amqp_port, ROOT_USER, Secret(ROOT_PASSWORD))
        await declare(admin, queue)
        await consume(admin, queue)
        seen = self._seen.setdefault(user_of(issued), [])

        async def read() -> None:
            while True:
                method, _ = await admin.next_method()
                if method == DELIVER:
                    seen.append(datetime.now(UTC))

        reading = asyncio.ensure_future(read())
        try:
            async with working(write, tasks):
                yield
        finally:
            reading.cancel()
            admin.hang_up()

    async def writes(self, handle: str) -> int:
        return len(self._seen.get(handle, []))

    async def last_write(self, handle: str) -> datetime | None:
        return max(self._seen.get(handle, []), default=None)

    async def target_now(self) -> datetime:
        return datetime.now(UTC)  # the broker runs on this machine

    async def survivors(self, target_id: str) -> int:
        connections = await self.root.get("connections", "username", target_id) or []
        return await self.accounts(target_id) + len(connections)

    async def accounts(self, handle: str) -> int:
        return int(await self.root.get("users", handle) is not None)

    async def close(self) -> None:
        await self.made.close()
        await self.root.close()


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
