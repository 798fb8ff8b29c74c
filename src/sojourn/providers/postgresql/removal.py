"""Taking a role away: no login (committed), then cut, then drop; every step by OID.

The order is the protocol: cutting before logins are off loses against a client that
reconnects, and dropping before cutting leaves a connection without a name.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sojourn.providers.postgresql import blocks
from sojourn.providers.postgresql.admin import STATEMENT_MS, Admin, load_plan, run_block
from sojourn.providers.postgresql.observation import CLEAN_READS, READ_GAP_SECONDS
from sojourn.providers.postgresql.wire import Connection, PostgresError

BAR_STATEMENT_MS: Final = 1_500  # with LOCK_MS: several tries fit into one destroy
BUSY_GAP_SECONDS: Final = 0.02

# States in which a hostile or unlucky neighbour held the role's row: cut it and try again.
_BUSY: Final = frozenset({"55P03", "XX000", "57014", "40001", "40P01"})

_CUT: Final = """
SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a WHERE a.usesysid = $1"""

_PREPARED: Final = """
SELECT x.database AS database, quote_literal(p.gid) AS gid, quote_ident(r.rolname) AS role
FROM pg_prepared_xact() p JOIN pg_prepared_xacts x ON x.transaction = p.transaction
JOIN pg_roles r ON r.oid = p.ownerid WHERE p.ownerid = $1"""

_DATABASES: Final = """
SELECT b.datname, b.datname = current_database() AS here FROM pg_database b
WHERE b.oid IN (SELECT d.dbid FROM pg_shdepend d
  WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1) ORDER BY b.datname"""


async def bar(connection: Connection, oid: int, *, final: bool) -> None:
    """Refuse new logins, in a commit of its own; keeps trying until the caller's deadline."""
    cut_first = False
    while True:
        plan = {"oid": str(oid), "final": final, "cut": cut_first}
        try:
            return await run_block(connection, blocks.BAR, plan, statement_ms=BAR_STATEMENT_MS)
        except PostgresError as error:
            if error.sqlstate not in _BUSY:
                raise
        cut_first = True
        await asyncio.sleep(BUSY_GAP_SECONDS)


async def cut(connection: Connection, oid: int) -> None:
    """End every connection of a role that cannot log in, until several looks find none."""
    clean = 0
    while clean < CLEAN_READS:
        found = await connection.fetchval(_CUT, oid)
        clean = 0 if found else clean + 1
        if clean < CLEAN_READS:
            await asyncio.sleep(READ_GAP_SECONDS)


async def roll_back_prepared(admin: Admin, connection: Connection, oid: int) -> None:
    """Roll back transactions the role prepared: only it or a superuser may, so become it."""
    for row in await connection.fetch(_PREPARED, oid):
        # ROLLBACK PREPARED cannot run in a block; both names were quoted by the server.
        other = await admin.login(str(row["database"]))
        try:
            await _become(other, str(row["role"]))
            await other.execute(f"ROLLBACK PREPARED {row['gid']}")
        finally:
            other.terminate()


async def drop(admin: Admin, connection: Connection, oid: int) -> None:
    """Drop the role with its privileges, database by database; quarantine it if it owns anything.

    `connection` leads to the admin's own database.
    """
    names = [str(row["datname"]) for row in await connection.fetch(_DATABASES, oid)]
    for name in names or [admin.home]:
        if name == admin.home:
            await _drop_here(connection, oid, admin.turn(name))
            continue
        # Outside the pool, so that destroys side by side cannot wait for each other's slots.
        other = await admin.login(name)
        try:
            await _drop_here(other, oid, admin.turn(name))
        finally:
            other.terminate()


async def _drop_here(connection: Connection, oid: int, turn: asyncio.Lock) -> None:
    await load_plan(connection, {"oid": str(oid)}, statement_ms=STATEMENT_MS)
    while True:
        try:
            async with turn:  # for the drop alone: others wait
                await connection.execute(blocks.DROP)
            return
        except PostgresError as error:
            if error.sqlstate not in _BUSY:
                raise
        await asyncio.sleep(BUSY_GAP_SECONDS)


async def _become(connection: Connection, role: str) -> None:
    version = connection.get_server_version()
    if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = session_user"):
        wish = " WITH SET TRUE" if version.major >= 16 else ""
        await connection.execute(f"GRANT {role} TO CURRENT_USER{wish}")
    await connection.execute(f"SET ROLE {role}")
