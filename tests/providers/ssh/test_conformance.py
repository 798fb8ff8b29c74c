"""The suite against a real sshd, and the class it declares measured with live shells."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest

from sojourn.testing.provider_conformance import SUITE, Rig
from tests.providers.ssh.conftest import SshRig
from tests.rig.poll import until_async

pytestmark = pytest.mark.anyio
KILLS = int(os.environ.get("SOJOURN_TEST_KILLS", "100"))


@pytest.mark.parametrize("promise", SUITE, ids=lambda one: one.__name__)
async def test_openssh_keeps_the_contract(rig: SshRig, promise: Callable[[Rig], Awaitable[None]]) -> None:
    await promise(rig)


async def test_live_shells_that_come_back_are_cut_and_kept_out(rig: SshRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    async with rig.at_work(issued, tasks=3, every=0.02):
        await until_async(lambda: _wrote(rig, issued.target_id, 10), within_s=20)
        begun = await rig.target_now()
        await rig.provider.destroy(rig.ref(intent, issued))
        seen = await rig.provider.observe(rig.ref(intent, issued))
        count = len(rig.book(issued))
        refused = not await rig.can_log_in(issued)
        late = len(rig.book(issued)) - count

    assert seen.presence == "absent" and refused and late == 0
    assert max(rig.book(issued)) - begun.timestamp() < timedelta(seconds=2).total_seconds()
    assert await rig.survivors(issued.target_id) == 0


async def _wrote(rig: SshRig, target_id: str, count: int) -> bool:
    return len(rig._times(target_id)) >= count


async def test_preflight_passes_and_leaves_nothing(rig: SshRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
    assert not await rig.provider.inventory("sj_test_canary")


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.timeout(900)
async def test_a_hundred_kills_stop_live_shells_in_time(rig: SshRig) -> None:
    taken = []
    for _ in range(KILLS):
        intent = rig.intent()
        issued = await rig.provider.issue(intent)
        async with rig.at_work(issued, tasks=1, every=0.02):
            await until_async(partial(_wrote, rig, issued.target_id, 3), within_s=20)
            begun = await rig.target_now()
            await rig.provider.destroy(rig.ref(intent, issued))
            seen = await rig.provider.observe(rig.ref(intent, issued))
        taken.append(max(rig.book(issued)) - begun.timestamp())
        assert seen.presence == "absent" and await rig.survivors(issued.target_id) == 0

    ordered = sorted(taken)
    middle, late = ordered[len(ordered) // 2], ordered[int(0.99 * (len(ordered) - 1))]
    print(f"{KILLS} kills: last effect after {1000 * middle:.0f} ms, p99 {1000 * late:.0f} ms")
    assert late < timedelta(seconds=2).total_seconds()
