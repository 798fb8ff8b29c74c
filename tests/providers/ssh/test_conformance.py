"""The suite against a real sshd; its class is measured with the others, in `test_class.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sojourn.testing.provider_conformance import SUITE, Rig
from tests.providers.kits.ssh import SshKit

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("promise", SUITE, ids=lambda one: one.__name__)
async def test_openssh_keeps_the_contract(rig: SshKit, promise: Callable[[Rig], Awaitable[None]]) -> None:
    await promise(rig)


async def test_preflight_passes_and_leaves_nothing(rig: SshKit) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
    assert not await rig.provider.inventory("sj_test_canary")
