"""Work that only listens is cut as well: a subscriber, a consumer, a login half done."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from sojourn.core.secret import Secret
from sojourn.ports.provider import Presence, Ref
from tests.providers.kits import Servers
from tests.providers.kits.kit import working
from tests.providers.kits.mysql import MariaKit
from tests.providers.kits.nats import NatsKit
from tests.providers.kits.rabbitmq import RabbitKit, consume, declare, open_amqp, publish
from tests.providers.kits.redis import RedisKit
from tests.rig.poll import until_async
from tests.rig.rabbitmq_server import ROOT_PASSWORD, ROOT_USER

pytestmark = pytest.mark.anyio

CUT_WITHIN = 2.0  # class A
STORM = 12  # clients that log in again and again, each at once
LOOKS = 25


async def test_a_redis_subscriber_hears_nothing_after_a_destroy(servers: Servers) -> None:
    kit = servers.kit("redis")
    assert isinstance(kit, RedisKit)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    listener = await kit.log_in(issued)
    await listener.ask("SUBSCRIBE", "orders.new")
    heard = [await _publish_and_hear(kit, listener)]

    await kit.provider.destroy(Ref(intent.handle, issued.target_id))

    receivers = await kit.ask("PUBLISH", "orders.new", "late")
    await kit.close()
    assert heard == ["early"]
    assert receivers == 0


async def _publish_and_hear(kit: RedisKit, listener: object) -> object:
    await kit.ask("PUBLISH", "orders.new", "early")
    return (await listener.next())[2]  # type: ignore[attr-defined]


async def test_a_rabbitmq_consumer_is_cut_and_its_messages_stay(servers: Servers) -> None:
    kit = servers.kit("rabbitmq")
    assert isinstance(kit, RabbitKit)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    root = await open_amqp(kit.server.amqp_port, ROOT_USER, Secret(ROOT_PASSWORD))
    await declare(root, "orders.new")
    consumer = await kit.log_in(issued)
    await consume(consumer, "orders.new")
    publish(root, "orders.new")
    await consumer.next_method()

    await kit.provider.destroy(Ref(intent.handle, issued.target_id))

    async with asyncio.timeout(CUT_WITHIN):
        await consumer.until_cut()
    publish(root, "orders.new")
    kept = await until_async(lambda: declare(root, "orders.new"))
    root.hang_up()
    await kit.close()
    assert kept == 1


async def test_a_nats_subscriber_is_cut(servers: Servers) -> None:
    kit = servers.kit("nats")
    assert isinstance(kit, NatsKit)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    async with kit.log_in(issued) as client:
        await client.subscribe("orders.new")
        await client.flush()

        await kit.provider.destroy(Ref(intent.handle, issued.target_id))

        async with asyncio.timeout(CUT_WITHIN):
            while client.is_connected:
                await asyncio.sleep(0.01)
    await kit.close()


@pytest.mark.parametrize(
    ("kind", "offered"), [("mariadb", "client_ed25519"), ("mysql", "mysql_native_password")]
)
async def test_a_login_held_in_its_handshake_does_not_get_in(
    servers: Servers, kind: str, offered: str
) -> None:
    """Its account was looked up before the lock; the client answers after the drop."""
    kit = servers.kit(kind)
    assert isinstance(kit, MariaKit)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    reader, writer = await asyncio.open_connection("127.0.0.1", kit.port)
    await _packet(reader)
    # It offers another way to authenticate, so the server looks the account up and asks again.
    capabilities = 0x00000201 | 0x00008000 | 0x00080000
    hello = capabilities.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes([45]) + bytes(23)
    writer.write(_framed(1, hello + intent.handle.encode() + f"\0\0{offered}\0".encode()))
    number, asked = await _packet(reader)
    way, salt = asked[1:].split(b"\0", 1)
    answer = {b"mysql_native_password": _native, b"caching_sha2_password": _sha2}[way]

    await kit.provider.destroy(Ref(intent.handle, issued.target_id))
    writer.write(_framed(number + 1, answer(issued.secret.reveal().encode(), salt[:20])))
    with pytest.raises((OSError, EOFError)):
        async with asyncio.timeout(CUT_WITHIN):
            await _packet(reader)

    left = await kit.survivors(intent.handle)
    await kit.close()
    assert asked[:1] == b"\xfe"  # it was in the middle of its handshake
    assert left == 0


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
async def test_a_storm_of_logins_does_not_hold_up_the_proof(servers: Servers, kind: str) -> None:
    """The process list names whom a login asks for until it is refused: such a one is not alive."""
    kit = servers.kit(kind)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)

    async def storm() -> None:
        while True:
            await kit.can_log_in(issued)

    async with working(storm, STORM):
        await kit.provider.destroy(ref)
        seen = [await kit.provider.observe(ref) for _ in range(LOOKS)]

    await kit.close()
    assert [one.presence for one in seen] == [Presence.ABSENT] * LOOKS


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
async def test_a_connection_that_outlives_its_account_is_seen(servers: Servers, kind: str) -> None:
    kit = servers.kit(kind)
    assert isinstance(kit, MariaKit)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    connection = await kit.log_in(issued)
    kit.server.sql(f"DROP USER {intent.handle}@'%'")

    seen = await kit.provider.observe(ref)
    await kit.provider.destroy(ref)
    gone = await kit.provider.observe(ref)

    connection.drop()
    await kit.close()
    assert (seen.presence, gone.presence) == (Presence.LINGERING, Presence.ABSENT)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(4)
    return head[3], await reader.readexactly(int.from_bytes(head[:3], "little"))


def _framed(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def _native(password: bytes, salt: bytes) -> bytes:
    """The answer of mysql_native_password to a challenge."""
    once = hashlib.sha1(password).digest()
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def _sha2(password: bytes, salt: bytes) -> bytes:
    """The answer of caching_sha2_password to a challenge."""
    once = hashlib.sha256(password).digest()
    mask = hashlib.sha256(hashlib.sha256(once).digest() + salt).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))
