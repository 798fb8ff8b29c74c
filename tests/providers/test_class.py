"""Every declared class is the measured one, and the measurement can tell."""

from __future__ import annotations

import pytest

from sojourn.ports.provider import Ref, RevocationClass
from tests.providers.kits import ALL, Servers
from tests.providers.kits.kit import Kit
from tests.providers.measure import measure

pytestmark = [pytest.mark.anyio, pytest.mark.paced]

KILLS = 5


@pytest.mark.parametrize("name", ALL)
async def test_the_declared_class_is_the_measured_one(servers: Servers, name: str) -> None:
    kit = servers.kit(name)
    try:
        measured = await measure(kit, KILLS)
    finally:
        await kit.close()

    assert measured.revocation_class is measured.declared
    assert measured.survivors == 0
    assert len(measured.kills) == KILLS


async def test_a_destroy_that_does_nothing_is_class_d(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that the measurement can fail."""

    async def nothing(_: object, ref: Ref) -> None:
        assert ref.handle

    kit: Kit = servers.kit("redis")
    real = type(kit.provider).destroy
    with monkeypatch.context() as patch:
        patch.setattr(type(kit.provider), "destroy", nothing)
        measured = await measure(kit, 1)
    for kill in measured.kills:
        await real(kit.provider, kill.ref)
    await kit.close()

    assert measured.revocation_class is RevocationClass.D
    assert measured.survivors >= 1
