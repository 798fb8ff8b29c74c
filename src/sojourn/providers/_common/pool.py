"""The admin's connections to one target: few, reused after a clean use, dropped when in doubt.

Taking away never queues behind giving: makers of credentials get at most half of the slots.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar


class Pooled(Protocol):
    """A connection as a pool sees it."""

    def is_closed(self) -> bool:
        """Whether it is known to be closed."""
        ...

    def drop(self) -> None:
        """Close it where it stands."""
        ...


C = TypeVar("C", bound=Pooled)


class Pool(Generic[C]):
    """Lends connections; `clean` are the errors after which a connection may be used again."""

    def __init__(
        self, log_in: Callable[[], Awaitable[C]], *, size: int, clean: tuple[type[Exception], ...]
    ) -> None:
        self._log_in = log_in
        self._size = size
        self._clean = clean
        self._slots = asyncio.Semaphore(size)
        self._maker_slots = asyncio.Semaphore(max(1, size // 2))
        self._idle: list[C] = []
        self._closed = False

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[C]:
        """Lend a connection; one whose use was cut short is dropped: its state is unknown."""
        async with self._slots:
            connection = self._take() or await self._log_in()
            try:
                yield connection
            except self._clean:
                self._give_back(connection)
                raise
            except BaseException:
                connection.drop()
                raise
            self._give_back(connection)

    @asynccontextmanager
    async def lend_to_maker(self) -> AsyncIterator[C]:
        """Lend a connection for making a credential, without crowding out the destroyers."""
        async with self._maker_slots, self.lend() as connection:
            yield connection

    def forget(self) -> None:
        """Drop what is idle: the next call logs in anew."""
        while self._idle:
            self._idle.pop().drop()

    def close(self) -> None:
        """Drop what is idle; what is lent is dropped when it comes back."""
        self._closed = True
        self.forget()

    def _take(self) -> C | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    def _give_back(self, connection: C) -> None:
        if self._closed or connection.is_closed() or len(self._idle) >= self._size:
            connection.drop()
        else:
            self._idle.append(connection)
