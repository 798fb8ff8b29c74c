"""What an account was used for, as MariaDB's user statistics counted it.

They keep an account's numbers beyond its DROP, by name, until the server restarts or somebody
flushes them.
"""

from __future__ import annotations

from typing import Final

from sojourn.core.lease import Counted
from sojourn.providers.mysql.wire import Connection

MEND: Final = "SET GLOBAL userstat = 1; and the same in the server's configuration"

COUNTING: Final = "SELECT @@userstat"

_COUNTED: Final = """
SELECT COALESCE(SUM(SELECT_COMMANDS + UPDATE_COMMANDS + OTHER_COMMANDS), 0),
  COALESCE(SUM(ROWS_SENT + ROWS_INSERTED + ROWS_UPDATED + ROWS_DELETED), 0)
FROM information_schema.USER_STATISTICS WHERE USER = %s"""

_UP: Final = """
SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'"""


async def count(connection: Connection, user: str, seconds: float) -> Counted | None:
    """What is known to have run in the last `seconds`; None if that is nothing, and may be wrong."""
    ((calls, rows),) = await connection.fetch(_COUNTED, user)
    if int(calls):
        return Counted(int(calls), int(rows))
    ((counting,),) = await connection.fetch(COUNTING)
    ((up,),) = await connection.fetch(_UP)
    return Counted(0, 0) if int(counting) and float(up) > seconds else None
