"""What the database itself refuses, whoever writes, and when a store refuses to start."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, delete, select, text

from sojourn.adapters import sql_schema as schema
from sojourn.adapters.migrations.upgrade import NEWEST, upgrade
from sojourn.adapters.opened_store import open_memory, open_postgres
from sojourn.adapters.postgres_database import PostgresDatabase
from sojourn.adapters.sql_database import Rejected
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.sqlite_database import SqliteDatabase, check_durable
from sojourn.core import lease, session
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Invalid, Refused, Unavailable
from sojourn.core.secret import Secret
from tests.rig.store import START, Place, a_lease, a_session, new_database, running_postgres

pytestmark = pytest.mark.anyio

KILLED = Cause(Reason.KILLED, "ops", "")
SHELL = """
import asyncio, sys
from pathlib import Path
from sojourn.adapters.opened_store import open_sqlite
from sojourn.core.errors import SojournError
try:
    asyncio.run(open_sqlite(Path(sys.argv[1])))
except SojournError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    with running_postgres() as dsn:
        yield dsn


def modes_in(directory: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


async def ended(store: SqlStore) -> None:
    """One ended session with one lease, stored."""
    requested = session.request(a_session())
    await store.commit(Change(steps=(requested, lease.plan(a_lease(1, requested.row), START))))
    await store.commit(Change(steps=(session.begin_end(requested.row, KILLED, START),)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE session SET state = 'active'",
        "UPDATE session SET state = 'requested'",
        "UPDATE session SET reason = NULL",
        "UPDATE lease SET state = 'destroyed'",
        "DELETE FROM lease",
        "DELETE FROM session",
        "DELETE FROM fact",
        "UPDATE fact SET number = 7",
        "INSERT INTO head (singleton, epoch, journal_size, feed_n, forgotten_n) VALUES (2, 1, 0, 0, 0)",
    ],
)
async def test_the_database_refuses(store: SqlStore, statement: str) -> None:
    await ended(store)

    with pytest.raises(Rejected):
        await store._database.write(lambda connection: connection.execute(text(statement)))

    assert await store.replay_differences() == []


async def test_listed_moves_are_those_of_the_core(store: SqlStore) -> None:
    def listed(connection: Connection) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        tables = (schema.session_next, schema.lease_next)
        first, second = (
            {(row.state, row.next) for row in connection.execute(select(table))} for table in tables
        )
        return first, second

    sessions, leases = await store._database.read(listed)

    assert sessions == {
        (state.value, to.value) for state, following in session.NEXT.items() for to in following
    }
    assert leases == {(state.value, to.value) for state, following in lease.NEXT.items() for to in following}


async def test_migrations_make_exactly_the_schema(store: SqlStore) -> None:
    def drift(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, schema.metadata))

    assert await store._database.write(drift) == []


async def test_a_migrated_database_is_known_to_be_the_newest(store: SqlStore) -> None:
    def revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    assert await store._database.write(revision) == NEWEST


async def test_replay_finds_a_row_that_was_tampered_with(store: SqlStore) -> None:
    await ended(store)
    await store._database.write(lambda connection: connection.execute(text("UPDATE session SET owner = 'x'")))
    await store._database.write(lambda connection: connection.execute(text("UPDATE lease SET doc = '{}'")))

    found = await store.replay_differences()

    assert len(found) == 2
    assert found[0].endswith("`owner` is not what the journal says")
    assert found[1].endswith("`doc` is not what the journal says")


async def test_replay_finds_a_session_that_is_known_by_other_facts(store: SqlStore) -> None:
    await store.commit(Change(steps=(session.request(a_session(context={"kubernetes.pod_uid": "p"})),)))
    await store._database.write(lambda connection: connection.execute(delete(schema.identity)))

    (found,) = await store.replay_differences()

    assert found == f"identity of `{a_session().id}`: not the same in the journal"


async def test_sessions_of_an_older_schema_are_found_by_their_facts(store: SqlStore) -> None:
    context = {
        "github.repository_id": "1",
        "github.run_id": "2",
        "github.run_attempt": "3",
        "github.check_run_id": "4",
    }
    for number in (1, 2):
        await store.commit(Change(steps=(session.request(a_session(number, context=context)),)))
    await store.commit(Change(steps=(session.begin_end(a_session(1, context=context), KILLED, START),)))

    def step_back_and_on(connection: Connection) -> None:
        schema.identity.drop(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '0010'"))
        upgrade(connection)

    await store._database.write(step_back_and_on)

    assert await store.replay_differences() == []
    stored = await store._database.read(lambda one: one.execute(select(schema.identity.c.session)).all())
    assert [row.session for row in stored] == [a_session(2).id] * 2


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    place = Place("sqlite", path=tmp_path / "sojourn.db")
    store = await place.open()

    with pytest.raises(Unavailable) as refusal:
        await place.open()
    other = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", SHELL, str(place.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    await store.close()

    assert refusal.value.code == "store_locked"
    assert other.stdout.strip() == "store_locked"
    await (await place.open()).close()


async def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "sojourn.db"
    store = await Place("sqlite", path=path).open()
    await store.commit(Change(steps=(session.request(a_session()),)))

    modes = modes_in(tmp_path)
    await store.close()

    assert set(modes) >= {"sojourn.db", "sojourn.db-wal", "sojourn.db.lock"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("setting", ["synchronous = OFF", "synchronous = NORMAL", "foreign_keys = OFF"])
async def test_sqlite_that_could_lose_a_commit_is_refused(tmp_path: Path, setting: str) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.connect() as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        check_durable(connection)
        connection.exec_driver_sql(f"PRAGMA {setting}")

        with pytest.raises(Refused) as refusal:
            check_durable(connection)

    assert refusal.value.code == "not_durable"


async def test_a_reader_of_sqlite_cannot_write(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db")
    await database.write(upgrade)

    with pytest.raises(Unavailable):
        await database.read(lambda connection: connection.execute(text("UPDATE head SET epoch = 9")))

    await database.close()


async def test_postgresql_without_fsync_is_refused(other_server: str) -> None:
    admin = await asyncpg.connect(other_server)
    await admin.execute("ALTER SYSTEM SET fsync = off")
    await admin.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(10):
        while await admin.fetchval("SHOW fsync") != "off":
            await asyncio.sleep(0.01)

    with pytest.raises(Refused) as refusal:
        await open_postgres(Secret(other_server))
    await admin.close()

    assert refusal.value.code == "not_durable"
    assert "fsync" in refusal.value.message


async def test_postgresql_that_commits_later_is_refused(server: str) -> None:
    dsn = await new_database(server)
    admin = await asyncpg.connect(dsn)
    name = await admin.fetchval("SELECT quote_ident(current_database())")
    await admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = local")
    await admin.close()

    with pytest.raises(Refused) as refusal:
        await open_postgres(Secret(dsn))

    assert "synchronous_commit" in refusal.value.message


async def test_two_nodes_of_postgresql_number_without_gaps(server: str) -> None:
    place = Place("postgresql", dsn=await new_database(server))
    nodes = await asyncio.gather(place.open(), place.open())

    await asyncio.gather(
        *(nodes[n % 2].commit(Change(steps=(session.request(a_session(n)),))) for n in range(200))
    )

    assert (await nodes[0].head()).journal_size == 200
    assert await nodes[1].replay_differences() == []
    await asyncio.gather(*(node.close() for node in nodes))


async def test_a_stalled_node_does_not_hold_up_the_others(server: str) -> None:
    place = Place("postgresql", dsn=await new_database(server))
    store = await place.open()
    stalled = PostgresDatabase(Secret(place.dsn))
    async with stalled._engine.connect() as connection:
        await connection.execute(text("UPDATE head SET feed_n = feed_n"))

        head = await store.commit(Change(steps=(session.request(a_session()),)))

        await connection.invalidate()
    assert head.journal_size == 1
    await asyncio.gather(store.close(), stalled.close())


@pytest.mark.parametrize("dsn", ["nonsense", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h:x/d"])
async def test_a_bad_dsn_is_refused_without_its_password(dsn: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await open_postgres(Secret(dsn))

    assert refusal.value.code == "bad_dsn"
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable) as refusal:
        await open_postgres(Secret("postgresql://u:p@127.0.0.1:1/d"))

    assert refusal.value.code == "store_unavailable"


async def test_a_store_in_memory_keeps_the_same_rules() -> None:
    store = await open_memory()
    await ended(store)

    with pytest.raises(Rejected):
        await store._database.write(lambda connection: connection.execute(text("DELETE FROM session")))

    assert await store.replay_differences() == []
    late = await store.overdue(START + timedelta(days=1), beats_until=START, limit=5)
    assert late == []
    await store.close()
