"""One server of each kind for the shared suites, started when it is first asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.providers.kits import FAULTY, Servers
from tests.providers.kits.kit import Kit


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Every server that was started in this process."""
    made = Servers()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(params=FAULTY)
async def kit(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Kit]:
    """Each kind of target in turn."""
    one = servers.kit(request.param)
    try:
        yield one
    finally:
        await one.close()
