"""One PostgreSQL for the tests of this folder, in each pytest process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.postgres import PostgresServer
from tests.rig.system import running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real server with its defaults."""
    with running_postgres() as server:
        yield server
