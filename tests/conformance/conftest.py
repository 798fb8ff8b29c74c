"""Each test of the store runs on SQLite and on a real PostgreSQL.

The memory store stands in for both in the simulation, so it has to keep what they keep.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sojourn.adapters.sql_store import SqlStore
from sojourn.testing.memory_store import MemoryStore
from tests.rig.store import Place, new_database, running_postgres


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with running_postgres() as dsn:
        yield dsn


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test on both dialects; what holds of every store, also on the one of the simulation."""
    if "store" not in metafunc.fixturenames and "place" not in metafunc.fixturenames:
        return
    asked_for_a_database = "place" in inspect.signature(metafunc.function).parameters
    anywhere = getattr(metafunc.module, "HOLDS_OF_EVERY_STORE", False) and not asked_for_a_database
    metafunc.parametrize("place", ["sqlite", "postgresql", *(["memory"] if anywhere else [])], indirect=True)


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> Place | None:
    """An empty database; None for the store that is kept in memory."""
    if request.param == "memory":
        return None
    if request.param == "sqlite":
        return Place("sqlite", path=tmp_path / "sojourn.db")
    return Place("postgresql", dsn=await new_database(request.getfixturevalue("server")))


@pytest.fixture
async def store(place: Place | None) -> AsyncIterator[SqlStore | MemoryStore]:
    opened = await place.open() if place else MemoryStore()
    yield opened
    await opened.close()
