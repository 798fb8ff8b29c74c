"""Taking an account away: lock, kill every connection, drop, kill what came late.

The order is the protocol: killing before the lock loses against a client that reconnects,
and neither lock nor drop touches a connection that is there.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sojourn.providers.mysql.names import account
from sojourn.providers.mysql.statements import ARRIVING, CONNECTIONS, NEWEST, hosts
from sojourn.providers.mysql.wire import Answered, Connection

CLEAN_READS: Final = 3  # a login that passed its check may not be listed yet: 0 seen is not 0 possible
READ_GAP_SECONDS: Final = 0.002
PATIENCE_SECONDS: Final = 0.3  # for a login that was under way when the account was locked

_UNKNOWN_THREAD: Final = 1094


async def hosts_of(connection: Connection, user: str) -> list[str]:
    """The hosts for which there is an account of this name."""
    return [str(row[0]) for row in await connection.fetch(hosts(connection.dialect), user)]


async def lock(connection: Connection, user: str) -> int:
    """Refuse new logins, whatever host they come from; the newest connection that may have got in."""
    for host in await hosts_of(connection, user):
        await connection.execute(f"ALTER USER IF EXISTS {account(user, host)} ACCOUNT LOCK")
    return await newest(connection)


async def newest(connection: Connection) -> int:
    """The greatest id that any connection has."""
    return int((await connection.fetch(NEWEST))[0][0])


async def drop(connection: Connection, user: str) -> None:
    """Remove every account of this name, with its privileges."""
    for host in await hosts_of(connection, user):
        await connection.execute(f"DROP USER IF EXISTS {account(user, host)}")


async def kill(connection: Connection, user: str, last: int, arriving: set[int]) -> None:
    """End every connection up to `last` of an account that is barred, until several looks find none.

    A login that was in its handshake when the account was locked may have been judged by the
    account as it was, and its client may take its time to finish: what is still on its way
    after a moment is ended too. A stranger among them has to log in again.
    """
    clock = asyncio.get_running_loop()
    patience = clock.time() + PATIENCE_SECONDS
    clean = 0
    while clean < CLEAN_READS or arriving:
        found = [int(row[0]) for row in await connection.fetch(CONNECTIONS, user, last)]
        clean = 0 if found else clean + 1
        if arriving:
            arriving &= await logins_under_way(connection)
            if clock.time() > patience:
                found += arriving
        for one in found:
            await _kill(connection, one)
        await asyncio.sleep(READ_GAP_SECONDS)


async def logins_under_way(connection: Connection) -> set[int]:
    """Connections that have not said, or not yet proven, who they are."""
    return {int(row[0]) for row in await connection.fetch(ARRIVING)}


async def _kill(connection: Connection, one: int) -> None:
    try:
        await connection.execute(f"KILL CONNECTION {one}")
    except Answered as error:
        if error.number != _UNKNOWN_THREAD:
            raise
