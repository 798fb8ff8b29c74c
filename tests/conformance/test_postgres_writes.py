"""A write to PostgreSQL whose connection breaks: again before COMMIT was sent, never after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Connection

from sojourn.adapters.postgres_database import WRITE_TRIES, PostgresDatabase
from sojourn.core.errors import Unavailable
from sojourn.core.secret import Secret
from tests.rig.store import running_postgres

pytestmark = pytest.mark.anyio

BREAK = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres() as dsn:
        yield dsn


@pytest.fixture
async def database(server: str) -> AsyncIterator[PostgresDatabase]:
    opened = PostgresDatabase(Secret(server))
    await opened.write(lambda c: _run(c, "CREATE TABLE IF NOT EXISTS told (word text)", "DELETE FROM told"))
    yield opened
    await opened.close()


def _run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _told(connection: Connection) -> list[str]:
    return [str(row[0]) for row in connection.exec_driver_sql("SELECT word FROM told")]


async def test_a_connection_lost_before_commit_writes_once_on_another(database: PostgresDatabase) -> None:
    tries: list[int] = []

    def work(connection: Connection) -> None:
        tries.append(1)
        _run(connection, "INSERT INTO told VALUES ('once')")
        if len(tries) == 1:
            _run(connection, BREAK)

    await database.write(work)

    assert await database.read(_told) == ["once"]
    assert len(tries) == 2


async def test_a_connection_that_is_always_lost_is_unavailable_and_writes_nothing(
    database: PostgresDatabase,
) -> None:
    tries: list[int] = []

    def work(connection: Connection) -> None:
        tries.append(1)
        _run(connection, "INSERT INTO told VALUES ('never')", BREAK)

    with pytest.raises(Unavailable):
        await database.write(work)

    assert await database.read(_told) == []
    assert len(tries) == WRITE_TRIES


async def test_a_failure_at_commit_is_not_tried_again(database: PostgresDatabase) -> None:
    tries: list[int] = []

    def work(connection: Connection) -> None:
        tries.append(1)
        _run(
            connection,
            "CREATE TABLE IF NOT EXISTS judged (word text UNIQUE DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO judged VALUES ('twice'), ('twice')",
        )

    with pytest.raises(Exception, match="twice|judged"):
        await database.write(work)

    assert len(tries) == 1
