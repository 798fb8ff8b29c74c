"""The blocks that make, bar, thaw and drop a role: constant SQL over the setting `sojourn.plan`.

Each runs as one transaction. Roles are found by OID and named only inside the transaction
that changes them; every name is quoted by the server itself through `format('%I')`.
"""

from __future__ import annotations

from typing import Final

# First key of the advisory lock an issue holds until its commit is visible; `observe` looks
# for it, so an issue that is still committing is never taken for an absence.
ISSUE_LOCK: Final = 1_399_812_981

_CHECK_DEADLINE: Final = """
  IF clock_timestamp() > current_setting('sojourn.deadline')::timestamptz THEN
    RAISE EXCEPTION 'the deadline has passed by the clock of the server' USING ERRCODE = 'SJ001';
  END IF;
"""

# A group role may give its members nothing that outgrows or outlives a session: attributes,
# predefined roles, or ownership (an owner may pass rights on to others).
_CHECK_ROLES: Final = r"""
  WITH RECURSIVE reached(id) AS (
    SELECT r.oid FROM pg_roles r WHERE r.rolname IN (SELECT jsonb_array_elements_text(plan->'roles'))
    UNION
    SELECT m.roleid FROM pg_auth_members m JOIN reached ON m.member = reached.id)
  SELECT string_agg(format('`%s`', r.rolname), ', ') INTO bad
  FROM reached JOIN pg_roles r ON r.oid = reached.id
  WHERE r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
     OR r.rolname LIKE 'pg\_%'
     OR EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass
                AND d.refobjid = r.oid AND d.deptype = 'o');
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'membership leads to % with rights beyond a session', bad USING ERRCODE = 'SJ002';
  END IF;
"""

_GRANT_ROLES: Final = """
  FOR word IN SELECT jsonb_array_elements_text(plan->'roles') LOOP
    BEGIN
      EXECUTE format('GRANT %I TO %I', word, handle) || membership;
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE EXCEPTION 'membership in `%` cannot be granted by `%`', word, current_user
        USING ERRCODE = 'SJ003', HINT = format('GRANT %I TO %I WITH ADMIN OPTION', word, current_user);
    END;
  END LOOP;
"""

# GRANT by somebody without the grant option only warns, so each grant is looked at afterwards.
_GRANT_OBJECTS: Final = """
  FOR item IN SELECT jsonb_array_elements(plan->'grants') LOOP
    word := item->>'privilege';
    SELECT n.oid INTO place FROM pg_namespace n WHERE n.nspname = item->>'schema';
    IF NOT FOUND THEN
      RAISE EXCEPTION 'there is no schema `%`', item->>'schema' USING ERRCODE = 'SJ004';
    END IF;
    found_any := item->>'kind' = 'SCHEMA' OR item->>'name' = '*';
    FOR thing IN
      SELECT place AS id, format('SCHEMA %I', item->>'schema') AS name WHERE item->>'kind' = 'SCHEMA'
      UNION ALL
      SELECT c.oid, format('%s %I.%I', item->>'kind', item->>'schema', c.relname)
      FROM pg_class c
      WHERE c.relnamespace = place AND (item->>'name' = '*' OR c.relname = item->>'name')
        AND ((item->>'kind' = 'TABLE' AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
             OR (item->>'kind' = 'SEQUENCE' AND c.relkind = 'S'))
    LOOP
      found_any := true;
      mend := format('GRANT %s ON %s TO %I WITH GRANT OPTION', word, thing.name, current_user);
      FOR attempt IN 1..10 LOOP
        BEGIN
          EXECUTE format('GRANT %s ON %s TO %I', word, thing.name, handle);
          EXIT;
        EXCEPTION
          WHEN insufficient_privilege THEN
            RAISE EXCEPTION '% on % cannot be granted by `%`', word, thing.name, current_user
              USING ERRCODE = 'SJ003', HINT = mend;
          WHEN internal_error THEN  -- tuple concurrently updated: somebody else granted, and is done
            IF attempt = 10 THEN RAISE; END IF;
        END;
      END LOOP;
      IF NOT (CASE item->>'kind'
          WHEN 'SCHEMA' THEN has_schema_privilege(made, thing.id, word)
          WHEN 'TABLE' THEN has_table_privilege(made, thing.id, word)
          ELSE has_sequence_privilege(made, thing.id, word) END) THEN
        RAISE EXCEPTION '% on % cannot be granted by `%`', word, thing.name, current_user
          USING ERRCODE = 'SJ003', HINT = mend;
      END IF;
    END LOOP;
    IF NOT found_any THEN
      RAISE EXCEPTION 'there is no % `%.%`', lower(item->>'kind'), item->>'schema', item->>'name'
        USING ERRCODE = 'SJ004';
    END IF;
  END LOOP;
"""

ISSUE: Final = f"""DO $sojourn$
DECLARE
  plan constant jsonb := current_setting('sojourn.plan')::jsonb;
  handle constant text := plan->>'handle';
  -- SET FALSE: what is made under SET ROLE would belong to the group and outlive the session.
  membership constant text := CASE WHEN current_setting('server_version_num')::int >= 160000
    THEN ' WITH INHERIT TRUE, SET FALSE' ELSE '' END;
  made oid; place oid; item jsonb; thing record; word text; bad text; mend text; found_any boolean;
BEGIN
  PERFORM pg_advisory_xact_lock({ISSUE_LOCK}, hashtext(handle));
{_CHECK_DEADLINE}{_CHECK_ROLES}
  EXECUTE format('CREATE ROLE %I LOGIN INHERIT CONNECTION LIMIT %s PASSWORD %L VALID UNTIL %L',
    handle, (plan->>'connection_limit')::int, plan->>'verifier', plan->>'expires_at');
  EXECUTE format('COMMENT ON ROLE %I IS %L', handle, plan->>'mark');
  SELECT r.oid INTO STRICT made FROM pg_roles r WHERE r.rolname = handle;
{_GRANT_ROLES}
  IF NOT has_database_privilege(made, current_database(), 'CONNECT') THEN
    BEGIN
      EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), handle);
    EXCEPTION WHEN insufficient_privilege THEN
      NULL;  -- said below, as when the server only warns
    END;
    IF NOT has_database_privilege(made, current_database(), 'CONNECT') THEN
      RAISE EXCEPTION 'CONNECT on database `%` cannot be granted', current_database() USING ERRCODE = 'SJ003',
        HINT = format('GRANT CONNECT ON DATABASE %I TO %I WITH GRANT OPTION',
          current_database(), current_user);
    END IF;
  END IF;
{_GRANT_OBJECTS}{_CHECK_DEADLINE}
  PERFORM set_config('sojourn.made', made::text, false);
END $sojourn$"""

# `cut` first ends the role's own connections: one that changes its own password in an open
# transaction holds the row that NOLOGIN must change. `final` marks a role as never to return.
BAR: Final = """DO $sojourn$
DECLARE
  plan constant jsonb := current_setting('sojourn.plan')::jsonb;
  who constant oid := (plan->>'oid')::oid;
  name text;
BEGIN
  IF (plan->>'cut')::boolean THEN
    PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE a.usesysid = who;
  END IF;
  SELECT r.rolname INTO name FROM pg_roles r WHERE r.oid = who;
  IF NOT FOUND THEN RETURN; END IF;
  EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', name);
  IF (plan->>'final')::boolean THEN
    EXECUTE format('ALTER ROLE %I VALID UNTIL ''-infinity'' CONNECTION LIMIT 0', name);
  END IF;
  PERFORM FROM pg_roles r WHERE r.oid = who AND r.rolcanlogin;
  IF FOUND THEN
    RAISE EXCEPTION 'the role was renamed meanwhile' USING ERRCODE = 'SJ005';
  END IF;
END $sojourn$"""

THAW: Final = f"""DO $sojourn$
DECLARE
  plan constant jsonb := current_setting('sojourn.plan')::jsonb;
  who constant oid := (plan->>'oid')::oid;
  name text; dying boolean;
BEGIN
  -- A freeze that lands meanwhile takes the row: all is read again, and a dying role stays dead.
  FOR attempt IN 1..10 LOOP
{_CHECK_DEADLINE}
    SELECT r.rolname, r.rolvaliduntil = '-infinity' INTO name, dying FROM pg_roles r WHERE r.oid = who;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'there is no role with OID %', who USING ERRCODE = 'SJ004';
    END IF;
    IF dying THEN
      RAISE EXCEPTION 'the role is being destroyed' USING ERRCODE = 'SJ005';
    END IF;
    BEGIN
      EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L VALID UNTIL %L',
        name, plan->>'verifier', plan->>'expires_at');
      EXIT;
    EXCEPTION WHEN internal_error THEN  -- tuple concurrently updated: the other is done
      IF attempt = 10 THEN RAISE; END IF;
    END;
  END LOOP;
  PERFORM FROM pg_roles r WHERE r.oid = who AND r.rolcanlogin;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the role was renamed meanwhile' USING ERRCODE = 'SJ005';
  END IF;
END $sojourn$"""

# DROP OWNED needs the role's own privileges; the admin takes them only now, when the role can
# no longer log in. It would drop owned objects too, so a role that owns any is stripped instead:
# dropping them would destroy work, and giving them to a stronger owner would arm them.
DROP: Final = """DO $sojourn$
DECLARE
  plan constant jsonb := current_setting('sojourn.plan')::jsonb;
  who constant oid := (plan->>'oid')::oid;
  name text; login boolean; owns boolean; one record;
BEGIN
  SELECT r.rolname, r.rolcanlogin INTO name, login FROM pg_roles r WHERE r.oid = who;
  IF NOT FOUND THEN RETURN; END IF;
  IF login THEN
    RAISE EXCEPTION 'the role can log in again' USING ERRCODE = 'SJ005';
  END IF;
  FOR one IN SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = who
  LOOP
    EXECUTE format('REVOKE %I FROM %I', one.rolname, name);
  END LOOP;
  IF NOT pg_has_role(current_user, who, 'USAGE') THEN
    EXECUTE format('GRANT %I TO CURRENT_USER', name) || CASE
      WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET FALSE'
      ELSE '' END;
  END IF;
  SELECT EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = who
    AND d.deptype = 'o' AND d.classid <> 'pg_default_acl'::regclass) INTO owns;
  IF owns THEN
    FOR one IN
      SELECT format('REVOKE ALL ON %s FROM %I', CASE d.classid
        WHEN 'pg_database'::regclass THEN
          (SELECT format('DATABASE %I', b.datname) FROM pg_database b WHERE b.oid = d.objid)
        WHEN 'pg_namespace'::regclass THEN
          (SELECT format('SCHEMA %I', n.nspname) FROM pg_namespace n WHERE n.oid = d.objid)
        ELSE (SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                n.nspname, c.relname)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = d.objid)
        END, name) AS statement
      FROM pg_shdepend d
      WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = who AND d.deptype = 'a'
        AND d.classid IN ('pg_database'::regclass, 'pg_namespace'::regclass, 'pg_class'::regclass)
        AND d.dbid IN (0, (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()))
    LOOP
      EXECUTE one.statement;
    END LOOP;
    RETURN;
  END IF;
  EXECUTE format('DROP OWNED BY %I', name);
  PERFORM FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = who
    AND d.dbid NOT IN (0, (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()));
  IF FOUND THEN RETURN; END IF;  -- grants lie in another database; its turn comes
  EXECUTE format('DROP ROLE %I', name);
  PERFORM FROM pg_roles r WHERE r.oid = who;
  IF FOUND THEN
    RAISE EXCEPTION 'the role was renamed meanwhile' USING ERRCODE = 'SJ005';
  END IF;
END $sojourn$"""
