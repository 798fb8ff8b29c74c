"""A store of its own for every test, migrated once and copied."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hooks.world import World
from tests.rig.store import Place


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package")
async def migrated(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Path:
    place = tmp_path_factory.mktemp("hooks") / "sojourn.db"
    await (await Place("sqlite", path=place).open()).close()
    return place


@pytest.fixture
async def world(migrated: Path, tmp_path: Path) -> AsyncIterator[World]:
    store = await Place("sqlite", path=Path(shutil.copy(migrated, tmp_path))).open()
    yield World(store)
    await store.close()
