"""What the catalogue says about one role, read until it is believable.

Looks by OID and never by name alone: after DROP ROLE a live connection has no user name
left, and a name may be taken by another role.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Observation, Presence, Ref
from sojourn.providers.postgresql.blocks import ISSUE_LOCK
from sojourn.providers.postgresql.wire import Connection

CLEAN_READS: Final = 3  # a login that passed its check may not be listed yet: 0 seen is not 0 possible
READ_GAP_SECONDS: Final = 0.002  # each read itself takes about as long
LISTED_OBJECTS: Final = 20

MARK_PREFIX: Final = "sojourn:"

_FIND_MARKED: Final = """
SELECT r.oid FROM pg_roles r
WHERE r.rolname = $1 AND starts_with(shobj_description(r.oid, 'pg_authid'), $2)"""

_READ: Final = f"""
SELECT r.oid IS NOT NULL AS there,
  coalesce(r.rolcanlogin, false) AS login,
  coalesce(r.rolvaliduntil = '-infinity', false) AS final,
  coalesce(starts_with(shobj_description(r.oid, 'pg_authid'), $3), false) AS marked,
  (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = wanted.id) AS backends,
  (SELECT count(*) FROM pg_prepared_xact() p WHERE p.ownerid = wanted.id) AS prepared,
  (SELECT count(*) FROM pg_auth_members m WHERE m.member = wanted.id) AS memberships,
  (SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.classid = {ISSUE_LOCK}::bigint::oid AND l.objsubid = 2
      AND l.objid::bigint = (hashtext($2)::bigint & 4294967295)
      AND a.usesysid = (SELECT u.oid FROM pg_roles u WHERE u.rolname = session_user)) AS issuing,
  ARRAY(SELECT CASE WHEN d.dbid = b.oid THEN pg_describe_object(d.classid, d.objid, d.objsubid)
      ELSE format('%s %s in database %s', d.classid::regclass, d.objid,
                  (SELECT o.datname FROM pg_database o WHERE o.oid = d.dbid)) END
    FROM pg_shdepend d JOIN pg_database b ON b.datname = current_database()
    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = wanted.id AND d.deptype = 'o'
      AND d.classid <> 'pg_default_acl'::regclass
    ORDER BY d.dbid, d.classid, d.objid LIMIT {LISTED_OBJECTS}) AS owned,
  (SELECT count(*) FROM pg_roles n WHERE n.rolname = $2 AND n.oid IS DISTINCT FROM wanted.id) AS name_taken
FROM (SELECT coalesce($1::oid, (SELECT n.oid FROM pg_roles n WHERE n.rolname = $2)) AS id) wanted
LEFT JOIN pg_roles r ON r.oid = wanted.id"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the catalogue."""

    there: bool
    login: bool
    final: bool
    marked: bool
    backends: int
    prepared: int
    memberships: int
    issuing: int
    owned: tuple[str, ...]
    name_taken: int

    @property
    def live(self) -> bool:
        """Whether something goes on under the role: a connection or a prepared transaction."""
        return self.backends > 0 or self.prepared > 0

    @property
    def presence(self) -> Presence:
        """What this one reading says by itself."""
        if self.login or self.issuing:
            return Presence.PRESENT
        if self.live:
            return Presence.LINGERING
        if not self.there:
            return Presence.ABSENT
        if self.final and self.owned and not self.memberships:
            return Presence.QUARANTINED
        return Presence.PRESENT


def mark_of(handle: str) -> str:
    """The beginning of the comment that says a role was made by us as `handle`."""
    return f"{MARK_PREFIX}{handle}:"


async def find_marked(connection: Connection, handle: str) -> int | None:
    """The OID of the role we made under this name; a stranger of that name is not ours."""
    found = await connection.fetchval(_FIND_MARKED, handle, mark_of(handle))
    return found if isinstance(found, int) else None


async def read(connection: Connection, oid: int | None, handle: str) -> Reading:
    """Ask the catalogue once."""
    row = await connection.fetchrow(_READ, oid, handle, mark_of(handle))
    if row is None:
        raise TargetError("target_refused", "a query that always gives one row gave none")
    return Reading(**{**dict(row), "owned": tuple(row["owned"])})


async def observe(connection: Connection, ref: Ref, oid: int | None) -> Observation:
    """Ask until `CLEAN_READS` answers in a row agree that nothing lives, or one says otherwise."""
    reading, count = await read(connection, oid, ref.handle), 1
    while count < CLEAN_READS and reading.presence in (Presence.ABSENT, Presence.QUARANTINED):
        await asyncio.sleep(READ_GAP_SECONDS)
        reading, count = await read(connection, oid, ref.handle), count + 1
    key = "OID" if oid is not None else "name"
    method = f"pg_roles, pg_stat_activity and pg_prepared_xact by {key}, {count} reads"
    return Observation(reading.presence, method, _detail(reading, count))


def _detail(reading: Reading, reads: int) -> dict[str, str | int]:
    detail: dict[str, str | int] = {
        "reads": reads,
        "login": int(reading.login),
        "backends": reading.backends,
        "prepared": reading.prepared,
    }
    if reading.issuing:
        detail["issuing"] = reading.issuing
    if reading.name_taken:
        detail["name_taken"] = reading.name_taken
    if reading.there and not reading.marked:
        detail["unmarked"] = 1
    if reading.owned:
        detail["owned"] = "; ".join(reading.owned)
    return detail
