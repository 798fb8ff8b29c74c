"""What a session did at a database, as the database itself counted it, told after the account is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import pytest

from sojourn.core.lease import Counted
from sojourn.ports.provider import Check, Presence, Ref
from sojourn.providers.mysql import MySQL
from sojourn.providers.mysql.dialect import MARIADB, MYSQL
from sojourn.providers.postgresql import PostgreSQL
from sojourn.providers.postgresql.use import MEND
from tests.providers.kits.by_password import ByPassword
from tests.providers.kits.mysql import MariaKit, MySQLKit
from tests.providers.kits.mysql import prepare as prepare_maria
from tests.providers.kits.postgresql import PostgresKit, prepare
from tests.rig.debian_postgres import counting_postgres
from tests.rig.mariadb import MariaServer
from tests.rig.mysql_server import MySQLServer
from tests.rig.poll import until_async
from tests.rig.postgres import PostgresServer

pytestmark = pytest.mark.anyio

Maria = TypeVar("Maria", bound=MariaServer)

_ITEMS = 5


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with counting_postgres() as server:
        prepare(server)
        server.sql("CREATE EXTENSION pg_stat_statements")
        yield server


@contextmanager
def started(server: Maria) -> Iterator[Maria]:
    try:
        server.start()
        prepare_maria(server)
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def maria() -> Iterator[MariaServer]:
    with started(MariaServer()) as server:
        server.sql("SET GLOBAL userstat = 1")
        yield server


@pytest.fixture(scope="module")
def mysql() -> Iterator[MySQLServer]:
    with started(MySQLServer()) as server:
        yield server


@dataclass
class Side:
    """A database that counts, a provider that asks it, how to make it forget, and what it says of no use."""

    kit: ByPassword[Any]
    provider: PostgreSQL | MySQL
    sql: Callable[[str], str]
    forget: str
    stop: str
    start: str
    mend: str
    never: Counted | None


def _of_postgres(server: PostgresServer) -> Side:
    kit, drop = PostgresKit(server), "DROP EXTENSION pg_stat_statements"
    provider = cast("PostgreSQL", kit.through(kit.port, count_use=True))
    forget, start = "SELECT pg_stat_statements_reset()", drop.replace("DROP", "CREATE")
    return Side(kit, provider, server.sql, forget, drop, start, MEND, Counted(0, 0))


def _of_maria(server: MariaServer) -> Side:
    kit, off = MariaKit(server), "SET GLOBAL userstat = 0"
    provider = cast("MySQL", kit.through(kit.port, count_use=True))
    forget, on = f"{off}; FLUSH USER_STATISTICS", "SET GLOBAL userstat = 1"
    return Side(kit, provider, server.sql, forget, off, on, MARIADB.count_mend, None)


def _of_mysql(server: MySQLServer) -> Side:
    kit, table = MySQLKit(server), "performance_schema.events_statements_summary_by_user_by_event_name"
    provider = cast("MySQL", kit.through(kit.port, count_use=True))
    grant, stop = f"GRANT SELECT ON {table} TO governor@'127.0.0.1'", "REVOKE SELECT ON {} FROM {}"
    server.sql(grant)
    stop = stop.format(table, "governor@'127.0.0.1'")
    return Side(kit, provider, server.sql, f"TRUNCATE {table}", stop, grant, MYSQL.count_mend, None)


_SIDES: Mapping[str, Callable[[Any], Side]] = {
    "postgres": _of_postgres,
    "maria": _of_maria,
    "mysql": _of_mysql,
}


@pytest.fixture(params=list(_SIDES))
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    one = _SIDES[request.param](request.getfixturevalue(request.param))
    try:
        yield one
    finally:
        await one.provider.close()
        await one.kit.close()


async def lived(side: Side, writes: int) -> tuple[Ref, datetime]:
    """A credential that wrote so many rows, each by a statement, and is gone; since when it was planned."""
    since, intent = datetime.now(UTC), side.kit.intent()
    issued = await side.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    if writes:
        connection = await side.kit.log_in(issued)
        for _ in range(writes):
            await side.kit.write(connection, intent.handle)
        side.kit.hang_up(connection)
    await side.provider.destroy(ref)
    assert (await side.provider.observe(ref)).presence is Presence.ABSENT
    return ref, since


async def test_what_was_done_is_counted_beyond_the_end(side: Side) -> None:
    ref, since = await lived(side, _ITEMS)

    async def told() -> Counted | None:
        found = await side.provider.count_use(ref, since)
        return found if found is not None and found.rows >= _ITEMS else None

    await until_async(told)  # MariaDB adds up when it has noticed that the connection is closed
    found = await side.provider.count_use(ref, since)

    assert found is not None
    assert (found.rows, found.calls >= _ITEMS) == (_ITEMS, True)


async def test_no_use_is_told_only_where_the_server_can_show_it(side: Side) -> None:
    ref, since = await lived(side, 0)

    assert await side.provider.count_use(ref, since) == side.never


async def test_a_server_that_may_have_forgotten_says_nothing(side: Side) -> None:
    ref, since = await lived(side, 1)
    try:
        side.sql(side.forget)

        assert await side.provider.count_use(ref, since) is None
    finally:
        side.sql(side.start.replace("EXTENSION", "EXTENSION IF NOT EXISTS"))


async def test_a_server_that_began_to_count_after_the_session_says_nothing(side: Side) -> None:
    ref, _ = await lived(side, 0)

    assert await side.provider.count_use(ref, datetime.now(UTC) - timedelta(days=365)) is None


@pytest.mark.parametrize("setting", ["track", "track_utility"])
@pytest.mark.parametrize("scope", ["SYSTEM", "DATABASE template1"])
async def test_a_postgresql_that_counts_only_some_says_no_use_to_nobody(
    postgres: PostgresServer, setting: str, scope: str
) -> None:
    side, off = _of_postgres(postgres), {"track": "none", "track_utility": "off"}[setting]
    ref, since = await lived(side, 0)
    postgres.sql(f"ALTER {scope} SET pg_stat_statements.{setting} = {off}")
    try:
        postgres.sql("SELECT pg_reload_conf()")

        async def missed() -> bool:
            return not _counting(await side.provider.preflight("sj_test_")).ok

        await until_async(missed)
        assert await side.provider.count_use(ref, since) is None
    finally:
        postgres.sql(f"ALTER {scope} RESET pg_stat_statements.{setting}")
        postgres.sql("SELECT pg_reload_conf()")
        await side.provider.close()
        await side.kit.close()


async def test_a_postgresql_whose_settings_were_read_anew_meanwhile_says_no_use_to_nobody(
    postgres: PostgresServer,
) -> None:
    side = _of_postgres(postgres)
    try:
        ref, since = await lived(side, 0)
        assert await side.provider.count_use(ref, since) == Counted(0, 0)
        postgres.sql("SELECT pg_reload_conf()")

        async def unknown() -> bool:
            return await side.provider.count_use(ref, since) is None

        await until_async(unknown)
    finally:
        await side.provider.close()
        await side.kit.close()


async def test_nobody_is_asked_where_the_settings_do_not_say_so(side: Side) -> None:
    ref, since = await lived(side, 1)
    silent = cast("PostgreSQL | MySQL", side.kit.provider)

    assert await silent.count_use(ref, since) is None


async def test_preflight_says_whether_use_is_counted(side: Side) -> None:
    assert _counting(await side.provider.preflight("sj_test_")).ok

    side.sql(side.stop)
    try:
        found = _counting(await side.provider.preflight("sj_test_"))
    finally:
        side.sql(side.start)

    assert (found.ok, found.mend) == (False, side.mend)


def _counting(checks: Sequence[Check]) -> Check:
    return next(one for one in checks if one.name == "use is counted")
