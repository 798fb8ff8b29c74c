"""One PostgreSQL for the tests of this folder, in each pytest process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.attested import running_attested
from tests.rig.issuers.platforms import Platforms, running_platforms
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running_postgres

if TYPE_CHECKING:
    from tests.acceptance.mtls_town import Town
    from tests.acceptance.oauth_libraries import Library


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


@pytest.fixture(scope="session")
def npm_library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """An OAuth library of another language."""
    from tests.acceptance.oauth_libraries import Library

    return Library(tmp_path_factory.mktemp("npm"))


@pytest.fixture(scope="session")
def mtls(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A server that takes client certificates over TLS of its own."""
    from tests.acceptance.mtls_town import mtls_town

    with mtls_town(postgres, tmp_path_factory.mktemp("tls")) as town:
        yield town
