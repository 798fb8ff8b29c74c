"""Accounts that can log in and that no session made: what `mysql.global_priv` tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sojourn.core.standing import Standing

# The admin's own account is among them: it is standing access, too. An account that is connected
# was last used when its latest statement began.
STANDING: Final = """
SELECT g.User, g.Host, CAST(JSON_VALUE(g.Priv, '$.access') AS UNSIGNED),
  FROM_UNIXTIME(JSON_VALUE(g.Priv, '$.password_last_changed')),
  (SELECT SYSDATE() - INTERVAL MIN(p.TIME) SECOND FROM information_schema.processlist p
   WHERE p.USER = g.User)
FROM mysql.global_priv g
WHERE COALESCE(JSON_VALUE(g.Priv, '$.account_locked'), 0) NOT IN ('1', 'true')
  AND COALESCE(JSON_VALUE(g.Priv, '$.is_role'), 0) NOT IN ('1', 'true')
  AND LEFT(g.User, CHAR_LENGTH(%s)) <> %s
ORDER BY g.User, g.Host LIMIT 100000"""

# The bits of a global privilege (MariaDB, sql/privilege.h) that lead to every other one.
_FILE, _GRANT, _SUPER, _CREATE_USER, _SET_USER = 1 << 9, 1 << 10, 1 << 15, 1 << 25, 1 << 30
_PRIVILEGED: Final = _FILE | _GRANT | _SUPER | _CREATE_USER | _SET_USER


def standing_of(row: Sequence[Any], place: str) -> Standing:
    """One account as a finding; its age is that of its password, its owner whom it is named after.

    A password that expires is no end: its holder sets another.
    """
    user, host, access, changed, used = row
    return Standing(
        kind="mysql_account",
        place=f"mysql://{place}",
        name=f"{user}@{host}",
        created_at=_instant(changed),
        last_used_at=_instant(used),
        owner_guess=str(user) or None,
        privileged=bool(int(access or 0) & _PRIVILEGED),
        grants={"database": {"target": "CHANGE-ME-mysql", "template": "readonly"}},
    )


def _instant(value: object) -> datetime | None:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None
