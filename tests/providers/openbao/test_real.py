"""The suite against the real server, with an admin who holds what the reference page lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from sojourn.testing.provider_conformance import SUITE, Rig, live_work_stops_within_the_declared_time
from tests.providers.openbao.rig import BaoRig, rig_at
from tests.rig.openbao import Place, real_openbao

pytestmark = pytest.mark.anyio
KILLS = 20
AT_ONCE = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with real_openbao(tmp_path_factory.mktemp("bao")) as one:
        yield one


@pytest.fixture
async def rig(place: Place) -> AsyncIterator[BaoRig]:
    one = rig_at(place)
    yield one
    await one.close()


@pytest.mark.parametrize("promise", SUITE, ids=lambda one: one.__name__)
async def test_openbao_keeps_the_contract(rig: BaoRig, promise: Callable[[Rig], Awaitable[None]]) -> None:
    await promise(rig)


@pytest.mark.slow
async def test_class_a_holds_while_clients_go_on_trying(rig: BaoRig) -> None:
    for _ in range(KILLS // AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(live_work_stops_within_the_declared_time(rig))


async def test_preflight_passes_and_leaves_nothing(rig: BaoRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
    assert not await rig.provider.inventory("sj_test_canary")


async def test_standing_tokens_are_those_that_no_session_made(rig: BaoRig, place: Place) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)

    found = await rig.provider.standing("sj_test_")

    await rig.provider.destroy(rig.ref(intent, issued))
    assert any(one.privileged for one in found), "the root token is the worst of them"
    governor = [one for one in found if one.owner_guess == "token" and not one.privileged]
    assert len(governor) == 1 and governor[0].expires_at is not None
    assert all("sj_test_" not in (one.owner_guess or "") for one in found)
