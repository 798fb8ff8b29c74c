"""Where MariaDB and MySQL differ, as texts; how accounts are made differs too (`compound`, `packet`).

What a server is, it says in its greeting; preflight refuses one that only speaks alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STATEMENT_SECONDS: Final = 5  # the server stops our own statements, should we vanish
LOCK_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    `accounts` is a table of User, Host, open (can log in), role, changed, privileged.
    """

    name: str
    brand: str  # a pattern of `version_comment` and `version`, in small letters
    oldest: tuple[int, int]
    longest_name: int  # characters of an account's name
    settings: str  # of an admin's session
    accounts: str
    readable: str  # what the admin must be granted to read them
    needed: tuple[str, ...]  # global privileges of the admin
    unfit: tuple[tuple[str, str, str], ...]  # a number that must be 0, what it means, what would help
    counted: str  # calls and rows of an account, by its name
    counting: str
    count_mend: str


# `time_zone`: the server's clock is compared as UTC. NO_AUTO_CREATE_USER: a GRANT makes no account,
# which MySQL has no way to turn on again.
MARIADB: Final = Dialect(
    name="MariaDB",
    brand=".*mariadb.*",
    oldest=(10, 6),
    longest_name=80,
    settings="SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_CREATE_USER', time_zone = '+00:00',"
    f" max_statement_time = {STATEMENT_SECONDS}, lock_wait_timeout = {LOCK_SECONDS}, sql_notes = 0",
    # The bits of a global privilege (MariaDB, sql/privilege.h) that lead to every other one:
    # FILE, GRANT OPTION, SUPER, CREATE USER, SET USER.
    accounts=f"""(SELECT User, Host,
  COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) NOT IN ('1', 'true') AS open,
  COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) IN ('1', 'true') AS role,
  FROM_UNIXTIME(JSON_VALUE(Priv, '$.password_last_changed')) AS changed,
  CAST(JSON_VALUE(Priv, '$.access') AS UNSIGNED)
    & {1 << 9 | 1 << 10 | 1 << 15 | 1 << 25 | 1 << 30} <> 0 AS privileged
  FROM mysql.global_priv) AS account""",
    readable="SELECT ON mysql.global_priv",
    needed=("CREATE USER", "PROCESS", "CONNECTION ADMIN"),
    unfit=(
        (
            "SELECT COALESCE(@@wsrep_on, 0)",
            "a Galera node: connections at the others cannot be seen",
            "not supported",
        ),
    ),
    counted="""
SELECT COALESCE(SUM(SELECT_COMMANDS + UPDATE_COMMANDS + OTHER_COMMANDS), 0),
  COALESCE(SUM(ROWS_SENT + ROWS_INSERTED + ROWS_UPDATED + ROWS_DELETED), 0)
FROM information_schema.USER_STATISTICS WHERE USER = %s""",
    counting="SELECT @@userstat",
    count_mend="SET GLOBAL userstat = 1; and the same in the server's configuration",
)

_SUMMARY: Final = "performance_schema.events_statements_summary_by_user_by_event_name"

MYSQL: Final = Dialect(
    name="MySQL",
    brand="(mysql|percona|source distribution).*",  # not: an imitation, "MySQL compatible"
    oldest=(8, 0),
    longest_name=32,
    # MySQL limits the time of reads only; its other statements of ours wait for locks at most.
    settings="SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO', time_zone = '+00:00',"
    f" max_execution_time = {STATEMENT_SECONDS * 1000}, lock_wait_timeout = {LOCK_SECONDS}, sql_notes = 0",
    # A role is an account that is locked and whose password expired (MySQL, CREATE ROLE).
    accounts="""(SELECT User, Host, account_locked = 'N' AS open,
  account_locked = 'Y' AND password_expired = 'Y' AS role, password_last_changed AS changed,
  'Y' IN (Super_priv, File_priv, Grant_priv, Create_user_priv) AS privileged
  FROM mysql.user) AS account""",
    readable="SELECT (User, Host, account_locked, password_expired, password_last_changed,"
    " Super_priv, File_priv, Grant_priv, Create_user_priv) ON mysql.user",
    needed=("CREATE USER", "PROCESS", "CONNECTION_ADMIN"),
    unfit=(
        (
            "SELECT COUNT(*) FROM information_schema.plugins"
            " WHERE PLUGIN_NAME IN ('group_replication', 'ndbcluster') AND PLUGIN_STATUS = 'ACTIVE'",
            "a member of a group: connections at the others cannot be seen",
            "not supported",
        ),
        (
            "SELECT COUNT(*) FROM performance_schema.global_variables"
            " WHERE VARIABLE_NAME = 'partial_revokes' AND VARIABLE_VALUE = 'ON'",
            "partial_revokes is on: a name in a grant is read in another way",
            "SET PERSIST partial_revokes = OFF;",
        ),
    ),
    counted=f"""
SELECT COALESCE(SUM(COUNT_STAR), 0), COALESCE(SUM(SUM_ROWS_SENT + SUM_ROWS_AFFECTED), 0)
FROM {_SUMMARY} WHERE EVENT_NAME LIKE 'statement/sql/%%' AND USER = %s""",
    # It counts if it counted the one who asks.
    counting=f"SELECT COALESCE(SUM(COUNT_STAR), 0) > 0 FROM {_SUMMARY}"
    " WHERE EVENT_NAME LIKE 'statement/sql/%' AND USER = SUBSTRING_INDEX(USER(), '@', 1)",
    count_mend=f"GRANT SELECT ON {_SUMMARY} TO the admin; and performance_schema = ON in the configuration",
)


def dialect_of(greeting: str) -> Dialect:
    """The kind of server that greets with this version; MariaDB names itself there, MySQL does not."""
    return MARIADB if "mariadb" in greeting.lower() else MYSQL
