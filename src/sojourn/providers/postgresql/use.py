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
    " its settings track and track_utility are to be what they are by default, for everybody"
)
_NOBODY: Final = 0  # no role has this OID

# The admin's search_path holds no schema that anybody else can write to; the extension may lie in one.
_PLACE: Final = """
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'"""

_COUNTED: Final = """
SELECT coalesce(sum(s.calls), 0)::bigint AS calls, coalesce(sum(s.rows), 0)::bigint AS rows,
  current_setting('pg_stat_statements.track') <> 'none'
    AND current_setting('pg_stat_statements.track_utility')::boolean
    AND NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setconfig::text LIKE '%pg_stat_statements.%')
    AS everything,
  (SELECT i.dealloc = 0 AND i.stats_reset <= $2 FROM {place}.pg_stat_statements_info i)
    AND pg_postmaster_start_time() <= $2 AND pg_conf_load_time() <= $2 AS unbroken
FROM {place}.pg_stat_statements s WHERE s.userid = $1 AND s.toplevel"""


async def is_counting(connection: Connection, now: datetime) -> bool:
    """Whether the server counts every statement, and the admin's own database shows it."""
    place = await connection.fetchval(_PLACE)
    if place is None:
        return False
    row = await connection.fetchrow(_COUNTED.format(place=place), _NOBODY, now)
    return row is not None and bool(row["everything"])


async def count(connection: Connection, oid: int, since: datetime) -> Counted | None:
    """What is known to have run to its end since then; None if that is nothing, and may be wrong."""
    place = await connection.fetchval(_PLACE)
    if place is None:
        return None
    row = await connection.fetchrow(_COUNTED.format(place=place), oid, since)
    if row is None or not (row["calls"] or (row["everything"] and row["unbroken"])):
        return None
    return Counted(int(row["calls"]), int(row["rows"]))
