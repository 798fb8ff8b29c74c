"""The suite against a real sshd, and the class it declares measured with live shells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from sojourn.testing.provider_conformance import SUITE, Rig
from tests.providers.ssh.conftest import SshRig
from tests.rig.poll import until_async

pytestmark = pytest.mark.anyio


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
