"""What an account was used for, as MariaDB's user statistics counted it.

They keep an account's numbers beyond its DROP, by name, until the server restarts or somebody
flushes them or turns them off; nothing tells that this happened, so no use is never proven.
"""

from __future__ import annotations

from typing import Final

from sojourn.core.lease import Counted
from sojourn.providers.mysql.wire import Connection

MEND: Final = "SET GLOBAL userstat = 1; and the same in the server's configuration"

_COUNTED: Final = """
SELECT COALESCE(SUM(SELECT_COMMANDS + UPDATE_COMMANDS + OTHER_COMMANDS), 0),
  COALESCE(SUM(ROWS_SENT + ROWS_INSERTED + ROWS_UPDATED + ROWS_DELETED), 0)
FROM information_schema.USER_STATISTICS WHERE USER = %s"""


async def is_counting(connection: Connection) -> bool:
    """Whether the server counts, and lets us read it."""
    await connection.fetch(_COUNTED, "")
    ((on,),) = await connection.fetch("SELECT @@userstat")
    return bool(int(on))


async def count(connection: Connection, user: str) -> Counted | None:
    """What is known to have run; None if that is nothing, which proves nothing."""
    ((calls, rows),) = await connection.fetch(_COUNTED, user)
    return Counted(int(calls), int(rows)) if int(calls) else None
