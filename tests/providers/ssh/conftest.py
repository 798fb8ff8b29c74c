"""One host for all tests of this folder, with a workload that has a live shell on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.providers.kits import Servers
from tests.providers.kits.ssh import SshKit


@pytest.fixture
async def rig(servers: Servers) -> AsyncIterator[SshKit]:
    kit = servers.kit("ssh")
    assert isinstance(kit, SshKit)
    try:
        yield kit
    finally:
        await kit.close()
