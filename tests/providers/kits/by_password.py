"""Servers whose admin logs in with a password in a URL, and one whose connection we keep to look around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ClassVar, Generic, Protocol, TypeVar

from sojourn.adapters.catalog_providers import ProviderClass
from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued, Provider
from tests.providers.kits.kit import Kit, SystemNow, user_of, working

ADMIN_PASSWORD = "admin-of-the-tests"
SECOND_PASSWORD = "second"


class Closes(Protocol):
    """A connection of any driver."""

    def is_closed(self) -> bool: ...


C = TypeVar("C", bound=Closes)


class ByPassword(Kit, Generic[C]):
    """One server and its provider; a subclass says how its driver logs in, writes and hangs up."""

    url: ClassVar[str]  # of the admin, with `{password}` and `{port}`
    makes: ClassVar[ProviderClass]
    told: ClassVar[Mapping[str, object]] = {}  # settings beside the URL
    refusals: ClassVar[tuple[type[Exception], ...]]  # of a login
    failures: ClassVar[tuple[type[Exception], ...]]  # of live work

    def __init__(self, port: int) -> None:
        self.port = port
        self.made = self.through(port)
        self._root: C | None = None
        self._turn = asyncio.Lock()

    async def log_in(self, issued: Issued) -> C:
        """As a workload."""
        raise NotImplementedError

    async def log_in_as_root(self) -> C:
        """As an administrator of ours, of whom the provider knows nothing."""
        raise NotImplementedError

    async def write(self, connection: C, user: str) -> None:
        """One write as a workload, which the server dates."""
        raise NotImplementedError

    def hang_up(self, connection: C) -> None:
        """Drop a connection where it stands."""
        raise NotImplementedError

    async def set_password(self, password: str) -> None:
        """Give the admin that password at the server."""
        raise NotImplementedError

    def secret(self, port: int, password: str = ADMIN_PASSWORD) -> Secret:
        return Secret(self.url.format(port=port, password=password))

    def through(self, port: int, secret: Secret | None = None, **settings: float) -> Provider:
        told = {**self.told, "client_port": self.port, **settings}
        return self.makes.configured(told, {}, secret or self.secret(port), SystemNow())

    def governed(self) -> tuple[Secret, Mapping[str, object]]:
        return self.secret(self.port), self.told

    async def rotate(self) -> Secret:
        await self.set_password(SECOND_PASSWORD)
        return self.secret(self.port, SECOND_PASSWORD)

    async def unrotate(self) -> None:
        await self.set_password(ADMIN_PASSWORD)

    async def can_log_in(self, issued: Issued) -> bool:
        try:
            connection = await self.log_in(issued)
        except self.refusals:
            return False
        self.hang_up(connection)
        return True

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        async def work() -> None:
            while True:
                try:
                    connection = await self.log_in(issued)
                    while True:
                        await self.write(connection, user_of(issued))
                        await asyncio.sleep(every)
                except self.failures:
                    await asyncio.sleep(every / 4)

        async with working(work, tasks):
            yield

    async def last_write(self, handle: str) -> datetime | None:
        raise NotImplementedError

    @asynccontextmanager
    async def root(self) -> AsyncIterator[C]:
        """The administrator's connection, for one caller at a time."""
        async with self._turn:
            if self._root is None or self._root.is_closed():
                self._root = await self.log_in_as_root()
            yield self._root

    async def close(self) -> None:
        await self.made.close()
        if self._root is not None:
            self.hang_up(self._root)
