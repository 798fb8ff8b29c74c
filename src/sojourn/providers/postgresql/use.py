"""What a role was used for, as `pg_stat_statements` counted it.

The view keeps a role's statements beyond its DROP, by OID, and tells everybody the numbers
without the texts. It counts a statement when it has run to its end, and forgets the rarest
when it is full.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.core.lease import Counted
from sojourn.providers.postgresql.wire import Connection

MEND: Final = (
    "add pg_stat_statements to shared_preload_libraries, restart, and CREATE EXTENSION pg_stat_statements;"
)

# The admin's search_path holds no schema that anybody else can write to; the extension may lie in one.
_PLACE: Final = """
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'"""

_COUNTED: Final = """
SELECT coalesce(sum(s.calls), 0)::bigint AS calls, coalesce(sum(s.rows), 0)::bigint AS rows,
  (SELECT i.dealloc = 0 AND i.stats_reset <= $2 AND pg_postmaster_start_time() <= $2
   FROM {place}.pg_stat_statements_info i) AS whole
FROM {place}.pg_stat_statements s WHERE s.userid = $1 AND s.toplevel"""


async def counts(connection: Connection) -> bool:
    """Whether there is a view that can be read, on the admin's own database."""
    place = await connection.fetchval(_PLACE)
    if place is not None:
        await connection.fetchval(f"SELECT count(*) FROM {place}.pg_stat_statements WHERE userid = 0")
    return place is not None


async def count(connection: Connection, oid: int, since: datetime) -> Counted | None:
    """What is known to have run to its end since then; None if that is nothing, and may be wrong."""
    place = await connection.fetchval(_PLACE)
    if place is None:
        return None
    row = await connection.fetchrow(_COUNTED.format(place=place), oid, since)
    if row is None or not (row["calls"] or row["whole"]):
        return None
    return Counted(int(row["calls"]), int(row["rows"]))
