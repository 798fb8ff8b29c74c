"""One world a test, and the issuers that stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attestors.world import World
from tests.rig.issuers.github import GitHub
from tests.rig.issuers.gitlab import GitLab
from tests.rig.issuers.issuer import Issuer
from tests.rig.issuers.kubernetes import Cluster


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nobody is known yet."""
    return World(tmp_path)


@pytest.fixture
def github(world: World) -> Iterator[GitHub]:
    """GitHub, which needs no more than to be reached."""
    made = GitHub(world.authority.server())
    world.know(made.issuer.url)
    yield made
    made.close()


@pytest.fixture
def gitlab(world: World) -> Iterator[GitLab]:
    """A GitLab that may be asked."""
    made = GitLab(world.authority.server())
    world.know(made.issuer.url, api=made.api, api_token=made.api_token)
    yield made
    made.close()


@pytest.fixture
def cluster(world: World) -> Iterator[Cluster]:
    """A cluster that may be asked."""
    made = Cluster(world.authority.server())
    world.know(made.issuer.url, api=made.api, api_token=made.api_token)
    yield made
    made.close()


@pytest.fixture
def idp(world: World) -> Iterator[Issuer]:
    """An issuer of no particular kind."""
    made = Issuer(world.authority.server(), path="/realms/shop")
    world.know(made.url)
    yield made
    made.close()
