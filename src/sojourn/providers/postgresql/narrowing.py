"""Taking single privileges from a role that stays: whatever a lesser template does not say.

PostgreSQL asks for privileges at the start of every statement, so an open connection loses
them with the commit. What had begun before may go on (a running statement, an open cursor):
it gets a moment to finish, then its connection is cut; prepared transactions are rolled back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.providers.postgresql.admin import Admin, run_block
from sojourn.providers.postgresql.observation import CLEAN_READS, READ_GAP_SECONDS
from sojourn.providers.postgresql.removal import roll_back_prepared
from sojourn.providers.postgresql.template import EVERY, Template, grants
from sojourn.providers.postgresql.wire import Connection

# Found in the catalogue, not taken from the old template: a table that was renamed since, or a
# privilege that somebody added by hand, is not forgotten.
_NARROW: Final = """DO $sojourn$
DECLARE
  plan constant jsonb := current_setting('sojourn.plan')::jsonb;
  who constant oid := (plan->>'oid')::oid;
  name text; one record; held boolean;
BEGIN
  SELECT r.rolname INTO name FROM pg_roles r WHERE r.oid = who;
  IF NOT FOUND THEN RETURN; END IF;
  FOR one IN SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
    WHERE m.member = who AND NOT plan->'roles' ? g.rolname
  LOOP
    EXECUTE format('REVOKE %I FROM %I', one.rolname, name);
    -- Since PostgreSQL 16 each grantor's membership is one of its own, and ours alone went.
    IF EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
      WHERE m.member = who AND g.rolname = one.rolname)
    THEN
      RAISE EXCEPTION 'membership in % is held in another way too', one.rolname USING ERRCODE = 'SJ006';
    END IF;
  END LOOP;
  FOR one IN
    SELECT 'SCHEMA' AS kind, n.oid AS id, format('SCHEMA %I', n.nspname) AS thing, a.privilege_type AS word,
      n.nspname AS schema, NULL AS object
    FROM pg_namespace n, aclexplode(n.nspacl) a WHERE a.grantee = who
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid,
      format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname),
      a.privilege_type, n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
    WHERE a.grantee = who
    UNION ALL
    SELECT 'COLUMN', c.oid, format('TABLE %I.%I', n.nspname, c.relname), a.privilege_type, n.nspname,
      c.relname
    FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
      aclexplode(t.attacl) a
    WHERE a.grantee = who
  LOOP
    CONTINUE WHEN EXISTS (SELECT FROM jsonb_array_elements(plan->'keeps') k
      WHERE k->>'kind' = replace(one.kind, 'COLUMN', 'TABLE')
        AND k->>'schema' = one.schema AND k->>'privilege' = one.word
        AND (one.kind = 'SCHEMA' OR k->>'name' IN ('*', one.object)));
    EXECUTE format('REVOKE %s ON %s FROM %I', one.word, one.thing, name);
    held := CASE one.kind WHEN 'SCHEMA' THEN has_schema_privilege(who, one.id, one.word)
      WHEN 'TABLE' THEN has_table_privilege(who, one.id, one.word)
      WHEN 'COLUMN' THEN has_any_column_privilege(who, one.id, one.word)
      ELSE has_sequence_privilege(who, one.id, one.word) END;
    IF held THEN
      RAISE EXCEPTION '% on % is held in another way too', one.word, one.thing USING ERRCODE = 'SJ006';
    END IF;
  END LOOP;
  EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', name, (plan->>'connection_limit')::int);
END $sojourn$"""

# Who is in a transaction stands in `pg_locks`, for everybody to read; `xact_start` is hidden from us.
_BEGUN: Final = """
SELECT array_agg(l.virtualtransaction) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.usesysid = $1 AND l.locktype = 'virtualxid'"""
_GOING: Final = """
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.usesysid = $1 AND l.locktype = 'virtualxid' AND l.virtualtransaction = ANY($2::text[])"""
_STILL_GOING: Final = f"SELECT count(*) {_GOING}"
_CUT_BEGUN: Final = f"SELECT count(pg_terminate_backend(a.pid)) {_GOING}"

GRACE_SECONDS: Final = 0.25  # a short statement ends by itself, and its connection stays
GRACE_LOOKS: Final = 25


def check_narrower(before: Template, after: Template) -> None:
    """Refuse `after` if it says anything that `before` does not.

    Raises:
        Invalid: code `not_narrower`.
    """
    if after.database != before.database:
        raise _wider(f"database `{after.database}`")
    if extra := sorted(set(after.roles) - set(before.roles)):
        raise _wider(f"membership in `{extra[0]}`")
    if after.connection_limit > before.connection_limit:
        raise _wider(f"{after.connection_limit} connections")
    if after.may_own_objects and not before.may_own_objects:
        raise _wider("`may_own_objects`")
    held = [_place(one) for one in grants(before)]
    for one in map(_place, grants(after)):
        kind, schema, name, privilege = one
        if one not in held and (kind, schema, EVERY, privilege) not in held:
            raise _wider(f"{privilege} on {kind.lower()} `{schema}{'.' if name else ''}{name}`")


async def narrow(admin: Admin, connection: Connection, oid: int, after: Template) -> str:
    """Leave the role with what `after` says; how that was proven."""
    plan = {
        "oid": str(oid),
        "roles": list(after.roles),
        "keeps": grants(after),
        "connection_limit": after.connection_limit,
    }
    async with admin.turn(after.database):
        await run_block(connection, _NARROW, plan)
    cut = await _cut_begun(connection, oid)
    await roll_back_prepared(admin, connection, oid)
    return f"REVOKE by OID, has_*_privilege after it, {cut} connections cut that had begun before"


async def _cut_begun(connection: Connection, oid: int) -> int:
    """Let what had begun finish for a moment, then cut it; how many connections were cut."""
    begun = await connection.fetchval(_BEGUN, oid)
    if not isinstance(begun, list):
        return 0
    for _ in range(GRACE_LOOKS):
        if not await connection.fetchval(_STILL_GOING, oid, begun):
            return 0
        await asyncio.sleep(GRACE_SECONDS / GRACE_LOOKS)
    cut = clean = 0
    while clean < CLEAN_READS:
        found = await connection.fetchval(_CUT_BEGUN, oid, begun)
        count = found if isinstance(found, int) else 0
        cut, clean = max(cut, count), 0 if count else clean + 1
        if clean < CLEAN_READS:
            await asyncio.sleep(READ_GAP_SECONDS)
    return cut


def _place(one: Mapping[str, object]) -> tuple[str, str, str, str]:
    return str(one["kind"]), str(one["schema"]), str(one["name"] or ""), str(one["privilege"])


def _wider(what: str) -> Invalid:
    return Invalid("not_narrower", f"the template would add {what}")
