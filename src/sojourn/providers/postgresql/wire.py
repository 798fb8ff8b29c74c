"""The driver, as much of it as is used here, with types: asyncpg itself has none.

Nobody else in this package imports asyncpg.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import asyncpg

from sojourn.core.secret import Secret

PostgresError = asyncpg.PostgresError
DRIVER_ERRORS = (OSError, EOFError, asyncpg.InterfaceError, asyncpg.InternalClientError)

Row = Mapping[str, Any]


class Version(NamedTuple):
    """The server's version."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: int


class Transaction(Protocol):
    """A transaction begun by hand."""

    async def start(self) -> None:
        """Begin."""

    async def rollback(self) -> None:
        """End without effect."""


class Connection(Protocol):
    """One connection to a server."""

    async def execute(self, query: str, /) -> str:
        """Send text as one message (the simple protocol): the server runs it as one transaction."""
        ...

    async def fetch(self, query: str, /, *args: object) -> Sequence[Row]:
        """Run one statement with bound parameters."""
        ...

    async def fetchrow(self, query: str, /, *args: object) -> Row | None:
        """Run one statement; its first row."""
        ...

    async def fetchval(self, query: str, /, *args: object) -> object:
        """Run one statement; the first column of its first row."""
        ...

    async def close(self, *, timeout: float) -> None:
        """Say goodbye and close."""

    def terminate(self) -> None:
        """Drop the connection where it stands."""

    def is_closed(self) -> bool:
        """Whether it is known to be closed."""
        ...

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def transaction(self) -> Transaction:
        """A transaction to be begun by hand."""
        ...

    def get_server_version(self) -> Version:
        """What the server said it is."""
        ...

    def get_server_pid(self) -> int:
        """The backend the server announced at login."""
        ...


class Login(NamedTuple):
    """Everything one login needs."""

    host: str
    port: int
    database: str
    user: str
    password: Secret | None
    tls: ssl.SSLContext | None
    settings: Mapping[str, str]


async def connect(login: Login, *, seconds: float) -> Connection:
    """Log in; the environment and password files are not consulted for what is missing."""
    opened = await asyncpg.connect(
        host=login.host,
        port=login.port,
        database=login.database,
        user=login.user,
        password="" if login.password is None else login.password.reveal(),
        ssl=login.tls or False,
        timeout=seconds,
        server_settings=dict(login.settings),
    )
    return cast(Connection, opened)
