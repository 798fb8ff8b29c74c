"""The statements that make, lock, thaw and drop an account, and those that look at it.

An issue is one compound statement, so the server itself judges its deadline. A handle has
an alphabet without quotes, every other name is quoted in `template`, and a password is only
ever sent as its hash: no text of somebody else's making reaches a string literal here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers.mysql.template import quoted

LONGEST_HANDLE: Final = 48
_HANDLE: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST_HANDLE}}}")

# Raised by our own statements, far above the numbers of the server's own errors.
DEADLINE_PASSED: Final = 30_001
HANDLE_TAKEN: Final = 30_002
MISSING_OBJECT: Final = 30_004

# GET_LOCK is open to every account, so only a lock that the admin holds counts.
READ: Final = """
SELECT
  (SELECT COUNT(*) FROM mysql.global_priv WHERE User = %s) AS accounts,
  (SELECT COUNT(*) FROM mysql.global_priv WHERE User = %s
    AND COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) NOT IN ('1', 'true')) AS login,
  (SELECT COUNT(*) FROM information_schema.processlist WHERE USER = %s) AS connections,
  (SELECT COUNT(*) FROM information_schema.processlist WHERE USER = %s
    AND ID = IS_USED_LOCK(%s)) AS issuing"""

HOSTS: Final = "SELECT Host FROM mysql.global_priv WHERE User = %s ORDER BY Host"
CONNECTIONS: Final = "SELECT ID FROM information_schema.processlist WHERE USER = %s"
# Logins on their way through the handshake have no user yet.
ARRIVING: Final = "SELECT ID FROM information_schema.processlist WHERE USER = 'unauthenticated user'"
INVENTORY: Final = """
SELECT User, FROM_UNIXTIME(JSON_VALUE(Priv, '$.password_last_changed')) FROM mysql.global_priv
WHERE LEFT(User, CHAR_LENGTH(%s)) = %s AND COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) NOT IN ('1', 'true')
GROUP BY User ORDER BY User LIMIT 100000"""


def check_handle(handle: str) -> None:
    """Refuse a handle that cannot be the name of an account as it is.

    Raises:
        Invalid: code `bad_handle`.
    """
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", f"expected 1 to {LONGEST_HANDLE} letters, digits, `_`, `.` or `-`")


def lock_of(handle: str) -> str:
    """The user lock an issue holds until its outcome is visible."""
    return f"sojourn:{handle}"


def account(handle: str, host: str) -> str:
    """`user`@`host`, quoted."""
    return f"{quoted(handle)}@{quoted(host)}"


def verifier(password: Secret) -> str:
    """What `IDENTIFIED BY PASSWORD` accepts: the hash of mysql_native_password, in hexadecimal.

    Twice SHA-1 is weak for words people choose; of 256 random bits it tells nothing.
    """
    once = hashlib.sha1(password.reveal().encode("ascii"), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def issue(
    handle: str,
    host: str,
    *,
    password: Secret,
    grants: Sequence[str],
    connections: int,
    deadline: datetime,
) -> str:
    """Make the account locked, grant, look at the clock again, unlock: or leave nothing.

    A failure says by number which grant it was: `2|the server's words`; 0 is none of them.
    """
    who, lock = account(handle, host), lock_of(handle)
    steps = "\n".join(
        f"  SET step = {number}; GRANT {grant} TO {who};" for number, grant in enumerate(grants, 1)
    )
    return f"""BEGIN NOT ATOMIC
  DECLARE made BOOL DEFAULT FALSE;
  DECLARE step INT DEFAULT 0;
  DECLARE told VARCHAR(400);
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
    GET DIAGNOSTICS CONDITION 1 told = MESSAGE_TEXT;
    IF made THEN DROP USER IF EXISTS {who}; END IF;
    DO RELEASE_LOCK('{lock}');
    SET told = CONCAT(step, '|', LEFT(told, 380));
    RESIGNAL SET MESSAGE_TEXT = told;
  END;
  IF GET_LOCK('{lock}', 0) <> 1 THEN
    {_signal(HANDLE_TAKEN, "another issue under this handle is under way")}
  END IF;
{_fence(deadline)}
  CREATE USER {who} IDENTIFIED BY PASSWORD '{verifier(password)}'
    WITH MAX_USER_CONNECTIONS {connections} ACCOUNT LOCK;
  SET made = TRUE;
{steps}
  SET step = 0;
{_fence(deadline)}
  ALTER USER {who} ACCOUNT UNLOCK;
  DO RELEASE_LOCK('{lock}');
END"""


def thaw(handle: str, host: str, *, password: Secret, deadline: datetime) -> str:
    """Unlock an account with a new password, unless it is gone or too late."""
    who = account(handle, host)
    return f"""BEGIN NOT ATOMIC
{_fence(deadline)}
  IF NOT EXISTS (SELECT * FROM mysql.global_priv WHERE User = '{handle}') THEN
    {_signal(MISSING_OBJECT, "there is no such account")}
  END IF;
  ALTER USER {who} IDENTIFIED BY PASSWORD '{verifier(password)}' ACCOUNT UNLOCK;
END"""


def _fence(deadline: datetime) -> str:
    late = _signal(DEADLINE_PASSED, "the deadline has passed by the clock of the server")
    return f"""  IF SYSDATE(6) > '{deadline.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}' THEN
    {late}
  END IF;"""


def _signal(number: int, words: str) -> str:
    return f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{words}';"
