"""A hostile workload: threads that write without pause, and log in again whenever they are cut off."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Final, Self

import asyncpg

from sojourn.client.views import CredentialView

THREADS: Final = 6
EVERY_S: Final = 0.02
_AGAIN_S: Final = 0.02  # between two attempts to log in
_PATIENCE_S: Final = 2.0
_CUT: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says when it is cut off at a bad moment
    OSError,
    TimeoutError,
)


class Writers:
    """Write with one credential from `THREADS` threads until told to stop."""

    def __init__(self, credential: CredentialView) -> None:
        told = credential.connection
        self._login = {
            "host": told["host"],
            "port": int(told["port"]),
            "database": told["database"],
            "user": told["user"],
            "password": credential.secret.reveal(),
        }
        self._stop = threading.Event()
        self.written = [0] * THREADS
        self.refused = [0] * THREADS  # attempts to log in, or to write, that failed
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(THREADS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def all_writing(self) -> bool:
        """Whether every thread has written."""
        return all(self.written)

    def _run(self, number: int) -> None:
        asyncio.run(self._write(number))

    async def _write(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                await self._write_until_cut(number)
            except _CUT:
                self.refused[number] += 1
                await asyncio.sleep(_AGAIN_S)

    async def _write_until_cut(self, number: int) -> None:
        connection = await asyncpg.connect(**self._login, timeout=_PATIENCE_S)
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                await connection.execute("INSERT INTO books.lines (line) VALUES ('x')", timeout=_PATIENCE_S)
                self.written[number] += 1
                await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))
        finally:
            connection.terminate()
