"""What the store needs of a database: run a function over a connection, in one transaction.

All SQL is written once, as functions over a synchronous SQLAlchemy connection. SQLite runs
them in threads, PostgreSQL over asyncpg. Here driver errors become ours: a definite refusal
can be decided again alone, a lost connection tells nothing, a failed disk is the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, SQLAlchemyError, StatementError

from sojourn.core.errors import SojournError, Unavailable

T = TypeVar("T")

# A read that takes longer is worth less than an honest answer to the caller.
READ_DEADLINE: Final = timedelta(seconds=5)
# Longer than the longest batch on a busy disk; shorter than a caller's patience.
WRITE_DEADLINE: Final = timedelta(seconds=10)
# Reading all of a large database, for a check that nobody waits for.
SNAPSHOT_DEADLINE: Final = timedelta(seconds=60)

_UNIQUE_SQLITE: Final = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})
_UNIQUE_POSTGRESQL: Final = "23505"
_LOST_SQLSTATES: Final = ("08", "57P", "25P03", "53")  # connection, shutdown, idle in transaction, resources
# What says that the disk below did not keep its word; nothing read from it may be believed.
_BROKEN: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Rejected(Exception):
    """The database refused a statement and rolled everything back."""

    def __init__(self, reason: str, *, unique: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unique = unique


class Broken(Exception):
    """The disk failed: this process must not go on writing."""


class Database(Protocol):
    """Runs functions over a connection; each call is one transaction."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` where nothing can be written.

        Raises:
            Unavailable: code `store_unavailable`.
        """
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` and commit durably.

        Raises:
            Rejected: the database refused; nothing of it is left.
            Broken: the disk failed.
            Unavailable: code `store_unavailable`; it may or may not have landed.
        """
        ...

    async def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which reads much: every statement sees the same state, and it may take a minute.

        Raises:
            Unavailable: code `store_unavailable`.
        """
        ...

    async def close(self) -> None:
        """Give back what is held open."""
        ...


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn the driver's errors into `Rejected`, `Broken` or `Unavailable`."""
    try:
        yield
    except DBAPIError as error:
        raise _own(error) from error
    except StatementError as error:
        if isinstance(error.orig, SojournError):  # a value that is none, such as an id of another kind
            raise error.orig from error
        raise _unavailable(error) from error
    except (SQLAlchemyError, OSError) as error:
        raise _unavailable(error) from error


def _own(error: DBAPIError) -> Exception:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _own_sqlite(error, int(code))
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if error.connection_invalidated or isinstance(error, InterfaceError) or state.startswith(_LOST_SQLSTATES):
        return _unavailable(error)
    if not state:
        return _unavailable(error)
    return Rejected(_first_line(error), unique=state == _UNIQUE_POSTGRESQL)


def _own_sqlite(error: DBAPIError, code: int) -> Exception:
    if code & 0xFF in _BROKEN:
        return Broken(_first_line(error))
    if isinstance(error, IntegrityError):
        return Rejected(_first_line(error), unique=code in _UNIQUE_SQLITE)
    return _unavailable(error)


def _unavailable(error: Exception) -> Unavailable:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return Unavailable("store_unavailable", f"the database did not answer: {type(cause).__name__}")


def _first_line(error: DBAPIError) -> str:
    # Values never stand in the first line of a constraint error, only the rule's name does.
    return str(error.orig).splitlines()[0][:200]
