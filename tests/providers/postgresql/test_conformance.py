"""The suite every provider runs, here against PostgreSQL, with a strong and a lesser admin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median

import pytest

from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Presence, Ref
from sojourn.providers.postgresql import PostgreSQL
from sojourn.testing.provider_conformance import SUITE, Rig, live_work_stops_within_the_declared_time
from tests.providers.kits.kit import SystemNow
from tests.providers.kits.postgresql import PostgresKit
from tests.providers.postgresql.conftest import config_of
from tests.rig.postgres import PostgresServer

pytestmark = pytest.mark.anyio

KILLS = 10
AT_ONCE = 2  # more would measure the two cores


@pytest.fixture
async def rig(server: PostgresServer, admin_user: str) -> AsyncIterator[PostgresKit]:
    kit = PostgresKit(server)
    if admin_user == "postgres":
        await kit.made.close()
        kit.made = kit.through(server.port, Secret(server.dsn()))
    try:
        yield kit
    finally:
        await kit.close()


@pytest.mark.parametrize("promise", SUITE, ids=lambda one: one.__name__)
async def test_postgresql_keeps_the_contract(rig: Rig, promise: Callable[[Rig], Awaitable[None]]) -> None:
    await promise(rig)


@pytest.mark.paced
@pytest.mark.timeout(120)
@pytest.mark.parametrize("admin_user", ["governor"])
async def test_class_a_holds_against_clients_that_reconnect(rig: Rig) -> None:
    for _ in range(KILLS // AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(live_work_stops_within_the_declared_time(rig))


@pytest.mark.timed
@pytest.mark.parametrize("admin_user", ["governor"])
async def test_destroying_one_live_connection_takes_less_than_a_tenth_of_a_second(
    rig: PostgresKit, record_property: Callable[[str, object], None]
) -> None:
    issue, destroy = [], []
    for _ in range(15):
        intent = rig.intent()
        begun = time.perf_counter()
        issued = await rig.provider.issue(intent)
        issue.append(1000 * (time.perf_counter() - begun))
        async with rig.at_work(issued, tasks=1, every=0.02):
            while not await rig.writes(intent.handle):
                await asyncio.sleep(0.005)
            begun = time.perf_counter()
            await rig.provider.destroy(Ref(intent.handle, issued.target_id))
            destroy.append(1000 * (time.perf_counter() - begun))

    print(
        f"median issue {median(issue):.1f} ms, destroy {median(destroy):.1f} ms, worst {max(destroy):.1f} ms"
    )
    record_property("destroy_ms", median(destroy))
    assert median(destroy) < 100


@pytest.mark.parametrize("admin_user", ["governor"])
async def test_many_sessions_come_and_go_side_by_side(rig: PostgresKit) -> None:
    """Privileges on one table change in one catalogue row, which PostgreSQL lets nobody share."""
    intents = [rig.intent() for _ in range(12)]

    async def live(intent: Intent) -> bool:
        issued = await rig.provider.issue(intent)
        ref = Ref(intent.handle, issued.target_id)
        await rig.provider.destroy(ref)
        return (await rig.provider.observe(ref)).presence is Presence.ABSENT

    assert all(await asyncio.gather(*map(live, intents)))


@pytest.mark.parametrize("admin_user", ["governor"])
async def test_two_control_planes_may_issue_into_one_table_at_once(rig: PostgresKit) -> None:
    others = [PostgreSQL(config_of(rig.server), SystemNow()) for _ in range(3)]
    intents = [rig.intent() for _ in others]

    issued = await asyncio.gather(*(one.issue(it) for one, it in zip(others, intents, strict=True)))

    for intent, made in zip(intents, issued, strict=True):
        await rig.provider.destroy(Ref(intent.handle, made.target_id))
    for one in others:
        await one.close()
