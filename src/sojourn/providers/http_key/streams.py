"""The answers that are on their way at this moment, by the lease they belong to, each cut on order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from sojourn.core.errors import Refused


class Streams:
    """Who may open a stream, which are open, and the order to end them."""

    def __init__(self) -> None:
        self._open: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._shut: set[str] = set()

    def count(self, handle: str) -> int:
        """How many are open."""
        return len(self._open.get(handle, ()))

    def is_shut(self, handle: str) -> bool:
        """Whether none may be opened."""
        return handle in self._shut

    def shut(self, handle: str) -> None:
        """Let none be opened any more, and end those that are."""
        self._shut.add(handle)
        for over in self._open.get(handle, ()):
            over.set()

    def reopen(self, handle: str) -> None:
        """Let streams be opened again."""
        self._shut.discard(handle)

    @contextmanager
    def opened(self, handle: str) -> Iterator[asyncio.Event]:
        """One stream, counted for as long as the context lasts; the event says that it is over.

        Raises:
            Refused: code `session_ended`.
        """
        if handle in self._shut:
            raise Refused("session_ended", "the credential was frozen or taken away")
        over = asyncio.Event()
        self._open[handle].add(over)
        try:
            yield over
        finally:
            self._open[handle].discard(over)
            if not self._open[handle]:
                del self._open[handle]


async def until(over: asyncio.Event, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`pieces`, for as long as `over` is not set, however long a piece lets itself be waited for.

    Raises:
        Refused: code `session_ended`.
    """
    end = asyncio.ensure_future(over.wait())
    coming: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(pieces, None))
            await asyncio.wait((coming, end), return_when=asyncio.FIRST_COMPLETED)
            if over.is_set():
                raise Refused("session_ended", "the session ended while the API was answering")
            piece = coming.result()
            if piece is None:
                return
            yield piece
    finally:
        end.cancel()
        if coming is not None and not coming.done():  # nobody may go on reading what is being closed
            coming.cancel()
            await asyncio.wait((coming,))
