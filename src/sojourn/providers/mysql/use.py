"""What an account was used for, as the server counted it.

MariaDB's user statistics and MySQL's statement summaries keep an account's numbers beyond its
DROP, by name, until the server restarts or somebody empties them or turns them off; nothing
tells that this happened, so no use is never proven.
"""

from __future__ import annotations

from sojourn.core.lease import Counted
from sojourn.providers.mysql.wire import Connection


async def is_counting(connection: Connection) -> bool:
    """Whether the server counts, and lets us read it."""
    await connection.fetch(connection.dialect.counted, "")
    ((on,),) = await connection.fetch(connection.dialect.counting)
    return bool(int(on))


async def count(connection: Connection, user: str) -> Counted | None:
    """What is known to have run; None if that is nothing, which proves nothing."""
    ((calls, rows),) = await connection.fetch(connection.dialect.counted, user)
    return Counted(int(calls), int(rows)) if int(calls) else None
