"""Making and thawing an account at MariaDB: one compound statement, judged by the server itself."""

from __future__ import annotations

from sojourn.providers.mysql.birth import Birth
from sojourn.providers.mysql.names import lock_of
from sojourn.providers.mysql.statements import DEADLINE_PASSED, HANDLE_TAKEN, MISSING_OBJECT
from sojourn.providers.mysql.verifier import native
from sojourn.providers.mysql.wire import Answered, Connection


async def issue(connection: Connection, birth: Birth) -> None:
    """Make the account, or leave nothing.

    Raises:
        Answered: nothing is left; `step` is the number of the grant that failed, 0 if none of them.
    """
    try:
        await connection.execute(_issue(birth))
    except Answered as error:
        step, bar, words = error.words.partition("|")
        if bar and step.isdecimal():
            error.step, error.args = int(step), (words,)
        raise


async def thaw(connection: Connection, birth: Birth) -> None:
    """Unlock the account with a new password, unless it is gone or too late."""
    await connection.execute(_thaw(birth))


def _issue(birth: Birth) -> str:
    """A failure says by number which grant it was: `2|the server's words`; 0 is none of them."""
    who, lock = birth.who, lock_of(birth.user)
    steps = "\n".join(
        f"  SET step = {number}; GRANT {grant} TO {who};" for number, grant in enumerate(birth.grants, 1)
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
{_fence(birth)}
  CREATE USER {who} IDENTIFIED BY PASSWORD '{native(birth.password)}'
    WITH MAX_USER_CONNECTIONS {birth.connections} ACCOUNT LOCK;
  SET made = TRUE;
{steps}
  SET step = 0;
{_fence(birth)}
  ALTER USER {who} ACCOUNT UNLOCK;
  DO RELEASE_LOCK('{lock}');
END"""


def _thaw(birth: Birth) -> str:
    return f"""BEGIN NOT ATOMIC
{_fence(birth)}
  IF NOT EXISTS (SELECT * FROM mysql.global_priv WHERE User = '{birth.user}') THEN
    {_signal(MISSING_OBJECT, "there is no such account")}
  END IF;
  ALTER USER {birth.who} IDENTIFIED BY PASSWORD '{native(birth.password)}' ACCOUNT UNLOCK;
END"""


def _fence(birth: Birth) -> str:
    late = _signal(DEADLINE_PASSED, "the deadline has passed by the clock of the server")
    return f"""  IF {birth.late} THEN
    {late}
  END IF;"""


def _signal(number: int, words: str) -> str:
    return f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{words}';"
