"""The suite every provider runs, against the real server of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from sojourn.testing.provider_conformance import SUITE, Rig
from tests.providers.kits import KITS
from tests.providers.kits.kit import Kit

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kit", KITS, indirect=True)]


@pytest.mark.parametrize("promise", SUITE, ids=lambda one: one.__name__)
async def test_the_provider_keeps_the_contract(kit: Kit, promise: Callable[[Rig], Awaitable[None]]) -> None:
    await promise(kit)


async def test_a_sound_target_passes_every_check(kit: Kit) -> None:
    checks = await kit.provider.preflight("sj_pre_")

    assert not [one for one in checks if not one.ok]
    assert [one.name for one in checks][-5:] == [
        "canary created",
        "canary logs in",
        "canary cut while it works",
        "new login refused",
        "canary gone",
    ]
    assert not await kit.provider.inventory("sj_pre_")
