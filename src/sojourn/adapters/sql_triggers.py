"""Triggers that keep, in the database itself, what must hold whoever writes.

Sessions and leases move only along the tables `session_next` and `lease_next`; sessions,
leases and facts are never deleted; facts are never changed. One statement a string.
"""

from __future__ import annotations

from typing import Final

_MOVES: Final = ("session", "lease")
_KEPT: Final = ("session", "lease", "fact")

_SQLITE_MOVE: Final = """
CREATE TRIGGER {table}_moves_only_as_listed BEFORE UPDATE OF state ON {table}
WHEN NEW.state <> OLD.state
 AND NOT EXISTS (SELECT 1 FROM {table}_next WHERE state = OLD.state AND next = NEW.state)
BEGIN SELECT RAISE(ABORT, '{table}_moves_only_as_listed'); END
"""
_SQLITE_KEEP: Final = """
CREATE TRIGGER {table}_is_never_deleted BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, '{table}_is_never_deleted'); END
"""
_SQLITE_FACT: Final = """
CREATE TRIGGER fact_is_never_changed BEFORE UPDATE ON fact
BEGIN SELECT RAISE(ABORT, 'fact_is_never_changed'); END
"""

_PG_MOVE: Final = """
CREATE FUNCTION {table}_moves_only_as_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM {table}_next WHERE state = OLD.state AND next = NEW.state) THEN
    RAISE EXCEPTION '{table}_moves_only_as_listed' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$
"""
_PG_MOVE_ON: Final = """
CREATE TRIGGER {table}_moves_only_as_listed BEFORE UPDATE OF state ON {table}
FOR EACH ROW WHEN (NEW.state IS DISTINCT FROM OLD.state) EXECUTE FUNCTION {table}_moves_only_as_listed()
"""
_PG_REFUSE: Final = """
CREATE FUNCTION refuse_as_named() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
_PG_KEEP: Final = """
CREATE TRIGGER {table}_is_never_deleted BEFORE DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION refuse_as_named()
"""
_PG_FACT: Final = """
CREATE TRIGGER fact_is_never_changed BEFORE UPDATE ON fact
FOR EACH STATEMENT EXECUTE FUNCTION refuse_as_named()
"""

_SQLITE: Final = (
    *(_SQLITE_MOVE.format(table=table) for table in _MOVES),
    *(_SQLITE_KEEP.format(table=table) for table in _KEPT),
    _SQLITE_FACT,
)
_POSTGRESQL: Final = (
    *(_PG_MOVE.format(table=table) for table in _MOVES),
    *(_PG_MOVE_ON.format(table=table) for table in _MOVES),
    _PG_REFUSE,
    *(_PG_KEEP.format(table=table) for table in _KEPT),
    _PG_FACT,
)


def statements(dialect: str) -> tuple[str, ...]:
    """The triggers in the words of `dialect`, to be run in this order."""
    return _SQLITE if dialect == "sqlite" else _POSTGRESQL
