"""One PostgreSQL for the tests of this folder, in each pytest process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.attested import running_attested
from tests.rig.issuers.platforms import Platforms, running_platforms
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real server with its defaults."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def platforms() -> Iterator[Platforms]:
    """GitHub, GitLab, a cluster and a trust domain."""
    with running_platforms() as made:
        yield made


@pytest.fixture(scope="session")
def attested(postgres: PostgresServer, platforms: Platforms) -> Iterator[System]:
    """A system that knows them; tests leave it as they found it."""
    with running_attested(postgres, platforms) as made:
        yield made
