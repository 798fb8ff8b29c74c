"""The bell within one process: a number that only rises, and those who wait for it to pass theirs."""

from __future__ import annotations

import asyncio


class LocalBell:
    """Wakes every waiter of this event loop whose number has been passed."""

    def __init__(self) -> None:
        self._n = 0
        self._waiting: dict[asyncio.Future[None], int] = {}

    def ring(self, n: int) -> None:
        """Say that the feed has reached number `n`; an older number wakes nobody."""
        self._n = max(self._n, n)
        for waiter, beyond in self._waiting.items():
            if beyond < self._n and not waiter.done():
                waiter.set_result(None)

    async def wait_beyond(self, n: int, timeout_s: float) -> None:
        """Return when the feed has passed `n`, or after `timeout_s`."""
        if self._n > n:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = n
        try:
            await asyncio.wait((waiter,), timeout=timeout_s)
        finally:
            del self._waiting[waiter]
