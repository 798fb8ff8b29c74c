"""The driver, as much of it as is used here, with types: aiomysql itself has none.

Nobody else in this package imports aiomysql.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import aiomysql
import pymysql

from sojourn.core.secret import Secret
from sojourn.providers._common.address import Address
from sojourn.providers._common.call import Failures
from sojourn.providers.mysql.dialect import Dialect, dialect_of
from sojourn.providers.mysql.names import account
from sojourn.providers.mysql.statements import DEADLINE_PASSED, HANDLE_TAKEN, MISSING_OBJECT, SIGHT

CONNECT_SECONDS: Final = 3.0

# The columns that our own statements at MySQL ask for to say what is wrong.
RAISED: Final = {
    DEADLINE_PASSED: "sojourn_deadline_passed",
    HANDLE_TAKEN: "sojourn_handle_taken",
    MISSING_OBJECT: "sojourn_no_such_account",
}
_UNKNOWN_COLUMN: Final = 1054

# A duplicate account reads the same way as one that cannot be dropped.
_CODES: Final = {
    1040: "target_full",
    1044: "missing_privilege",
    1045: "login_refused",
    1049: "missing_object",
    1129: "login_refused",  # the host is blocked because of many connection errors
    1130: "login_refused",
    1142: "missing_privilege",
    1143: "missing_privilege",
    1146: "missing_object",
    1203: "target_full",
    1205: "target_busy",
    1213: "target_busy",
    1226: "target_full",
    1227: "missing_privilege",
    1396: "handle_taken",
    1410: "missing_object",  # no account to grant to
    1927: "target_unreachable",  # connection was killed
    1969: "target_timeout",
    2002: "target_unreachable",
    2003: "target_unreachable",
    2006: "target_unreachable",
    2013: "target_unreachable",
    2014: "target_unreachable",
    3024: "target_timeout",
    3118: "login_refused",  # the account is locked, at MySQL
    4031: "target_unreachable",  # MySQL hung up on an idle connection
    4151: "login_refused",  # the account is locked, at MariaDB
    DEADLINE_PASSED: "deadline_passed",
    HANDLE_TAKEN: "handle_taken",
    MISSING_OBJECT: "missing_object",
}


class ServerError(Exception):
    """The server or the driver reported an error; `mend` is a statement that would help, if known.

    `ran`: how many statements of the same packet had succeeded. `step`: what a maker of accounts
    says of it, None where it is not told.
    """

    def __init__(self, code: str, number: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.number = number
        self.words = words
        self.mend = ""
        self.ran = 0
        self.step: int | None = None


class Answered(ServerError):
    """The server answered with an error: the connection is as good as before."""


class Connection:
    """One connection to a server, in autocommit."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def fetch(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        """Run one statement, its values escaped by the driver; all its rows."""
        try:
            async with self._inner.cursor() as cursor:
                await cursor.execute(statement, values or None)
                return list(await cursor.fetchall())
        except pymysql.err.MySQLError as error:
            raise _error(error) from error

    async def execute(self, statements: str) -> None:
        """Send text as one message; the server runs it one statement after another, until one fails."""
        ran = 0
        try:
            async with self._inner.cursor() as cursor:
                await cursor.execute(statements)
                ran = 1
                while await cursor.nextset():
                    ran += 1
        except pymysql.err.MySQLError as error:
            told = _error(error)
            told.ran = ran
            raise told from error

    @property
    def dialect(self) -> Dialect:
        """The kind of server, by its greeting."""
        return dialect_of(str(self._inner.get_server_info()))

    @property
    def announced_id(self) -> int:
        """The connection's id, as told by whoever answered the login."""
        return int(self._inner.thread_id())

    def is_closed(self) -> bool:
        """Whether it is known to be closed; a lost server shows at once."""
        reader = self._inner._reader
        return bool(self._inner.closed or reader is None or reader.at_eof())

    def drop(self) -> None:
        """Close it where it stands."""
        self._inner.close()


async def connect(
    address: Address, user: str, password: Secret, *, database: str | None = None, admin: bool = False
) -> Connection:
    """Log in; no file and no environment is consulted.

    An admin's session gets its settings, and must be able to see the connections of others.
    """
    try:
        inner = await aiomysql.connect(
            host=address.host,
            port=address.port,
            user=user,
            password=password.reveal(),
            db=database,
            ssl=address.context(),
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
            charset="utf8mb4",
            program_name="sojourn",
            local_infile=False,
        )
    except pymysql.err.MySQLError as error:
        raise _error(error) from error
    connection = Connection(inner)
    if admin:
        try:
            await connection.execute(connection.dialect.settings)
            await _see(connection)
        except BaseException:
            connection.drop()
            raise
    return connection


async def _see(connection: Connection) -> None:
    try:
        await connection.fetch(f"SELECT {SIGHT}")
    except Answered as blind:
        told = ServerError(blind.code, blind.number, "the admin cannot see the connections of others")
        ((name,),) = await connection.fetch("SELECT CURRENT_USER()")
        user, _, host = str(name).rpartition("@")
        told.mend = f"GRANT PROCESS ON *.* TO {account(user, host)};"
        raise told from blind


def _error(error: pymysql.err.MySQLError) -> ServerError:
    number, words = 0, type(error).__name__
    if error.args and isinstance(error.args[0], int):
        number, words = error.args[0], str(error.args[1]) if len(error.args) > 1 else words
    elif error.args:
        words = str(error.args[0])
    if number == _UNKNOWN_COLUMN:
        number = next((ours for ours, column in RAISED.items() if column in words), number)
    # Numbers from 2000 to 2999, and none at all, are the driver's own: the connection broke.
    broken = number == 0 or 2000 <= number < 3000 or number in (1927, 1040, 1045, 4031)
    kind = ServerError if broken else Answered
    code = _CODES.get(number, "target_refused" if number else "target_unreachable")
    return kind(code, number, words)


def code_of(error: Exception) -> str:
    """The stable code of whatever a call raised."""
    return error.code if isinstance(error, ServerError) else "target_unreachable"


FAILURES: Final = Failures((ServerError, OSError, EOFError), code_of)
