"""Roles that can log in and that no session made: what the catalogue tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sojourn.core.standing import Standing

# `infinity` is no end. The admin's own role is among them: it is standing access, too.
STANDING: Final = """
SELECT r.rolname AS name,
  r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls OR EXISTS (
    SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
    WHERE m.member = r.oid AND g.rolname LIKE 'pg\\_%') AS privileged,
  CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS expires_at,
  shobj_description(r.oid, 'pg_authid') AS comment,
  (SELECT max(a.backend_start) FROM pg_stat_activity a WHERE a.usesysid = r.oid) AS connected_at
FROM pg_roles r
WHERE r.rolcanlogin AND NOT starts_with(r.rolname, $1)
ORDER BY r.rolname"""


def standing_of(row: Mapping[str, Any], host: str) -> Standing:
    """One role as a finding; its comment is the best guess at who answers for it."""
    name, comment = str(row["name"]), row["comment"]
    return Standing(
        kind="postgresql_role",
        place=f"postgresql://{host}",
        name=name,
        last_used_at=_instant(row["connected_at"]),
        expires_at=_instant(row["expires_at"]),
        owner_guess=str(comment)[:120] if comment else None,
        privileged=row["privileged"] is True,
        grants={"database": {"target": "CHANGE-ME-postgresql", "template": "readonly"}},
    )


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
