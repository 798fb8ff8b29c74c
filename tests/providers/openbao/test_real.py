"""The suite against the real server, with an admin who holds what the reference page lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx2
import pytest

from sojourn.core.secret import Secret
from sojourn.providers.openbao import OpenBao
from sojourn.testing.provider_conformance import SUITE, Rig, live_work_stops_within_the_declared_time
from tests.providers.http_rig import ShiftedClock
from tests.providers.openbao.rig import APP, BaoRig
from tests.rig.openbao import Place, real_openbao

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
KILLS = 20
AT_ONCE = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with real_openbao(tmp_path_factory.mktemp("bao")) as one:
        yield one


@pytest.fixture
async def rig(place: Place) -> AsyncIterator[BaoRig]:
    clock = ShiftedClock()
    provider = OpenBao.configured({"address": place.base}, {"app": APP}, Secret(place.admin), clock)
    async with httpx2.AsyncClient(trust_env=False) as line:
        yield BaoRig(place.base, provider, clock, line)
    await provider.close()


@pytest.mark.parametrize("promise", SUITE, ids=lambda one: one.__name__)
async def test_openbao_keeps_the_contract(rig: BaoRig, promise: Callable[[Rig], Awaitable[None]]) -> None:
    await promise(rig)


async def test_class_a_holds_while_clients_go_on_trying(rig: BaoRig) -> None:
    for _ in range(KILLS // AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(live_work_stops_within_the_declared_time(rig))


async def test_preflight_passes_and_leaves_nothing(rig: BaoRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
    assert not await rig.provider.inventory("sj_test_canary")
