"""What is asked of accounts and connections, and the numbers of what our own statements raise."""

from __future__ import annotations

from typing import Final

from sojourn.providers.mysql.dialect import Dialect

# Raised by our own statements, far above the numbers of the server's own errors.
DEADLINE_PASSED: Final = 30_001
HANDLE_TAKEN: Final = 30_002
MISSING_OBJECT: Final = 30_004

# The list names a login by whom it asks for, too, until it is refused. Ids only grow: whoever came
# after the account was barred has a greater one than all that were there then, and gets nowhere.
CONNECTIONS: Final = "SELECT ID FROM information_schema.processlist WHERE USER = %s AND ID <= %s"
NEWEST: Final = "SELECT MAX(ID) FROM information_schema.processlist"
# Logins on their way through the handshake have no user yet.
ARRIVING: Final = "SELECT ID FROM information_schema.processlist WHERE USER = 'unauthenticated user'"
# Without PROCESS a process list shows one's own connections only, and says nothing of the others.
# What a connection may see was settled by its login; this is refused to one that may not.
SIGHT: Final = "(SELECT COUNT(*) FROM information_schema.INNODB_CMP)"


def read(dialect: Dialect) -> str:
    """What there is of an account, by its name, name, name and the newest connection that counts, and
    whether the admin holds the lock of its issue, by the admin's name and that lock.

    GET_LOCK is open to every account, so only a lock that the admin holds counts.
    """
    return f"""
SELECT
  (SELECT COUNT(*) FROM {dialect.accounts} WHERE User = %s) AS accounts,
  (SELECT COUNT(*) FROM {dialect.accounts} WHERE User = %s AND open) AS login,
  (SELECT COUNT(*) FROM information_schema.processlist WHERE USER = %s AND ID <= %s) AS connections,
  (SELECT COUNT(*) FROM information_schema.processlist WHERE USER = %s
    AND ID = IS_USED_LOCK(%s)) AS issuing,
  {SIGHT} AS sight"""


def hosts(dialect: Dialect) -> str:
    """The hosts for which there is an account of a name."""
    return f"SELECT Host FROM {dialect.accounts} WHERE User = %s ORDER BY Host"


def inventory(dialect: Dialect) -> str:
    """Every account, not a role, whose name may begin with a prefix, given twice without `_`; since when."""
    return f"""
SELECT User, MIN(changed) FROM {dialect.accounts}
WHERE LEFT(REPLACE(User, '_', ''), CHAR_LENGTH(%s)) = %s AND NOT role
GROUP BY User ORDER BY User LIMIT 100000"""


def anonymous(dialect: Dialect) -> str:
    """The hosts whose logins an account without a name takes."""
    return f"SELECT Host FROM {dialect.accounts} WHERE User = '' AND Host <> ''"


def standing(dialect: Dialect) -> str:
    """Accounts that can log in.

    The admin's own account is among them: it is standing access, too. An account that is
    connected was last used when its latest statement began.
    """
    return f"""
SELECT User, Host, privileged, changed,
  (SELECT SYSDATE() - INTERVAL MIN(p.TIME) SECOND FROM information_schema.processlist p
   WHERE p.USER = account.User)
FROM {dialect.accounts}
WHERE open AND NOT role
ORDER BY User, Host LIMIT 200000"""
