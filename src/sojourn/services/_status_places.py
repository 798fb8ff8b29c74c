"""Places in status lists, given out without asking the store each time, and never twice.

A process takes a block of numbers by a one-time mark and spreads them over the list by the list's
secret permutation, which all processes share. Each day, and each epoch, begins lists of its own,
so a place that a restored database has forgotten is not given again.
"""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from sojourn.core.change import Change, Once
from sojourn.core.errors import Refused, Unavailable
from sojourn.core.status_list import BLOCK, SIZE, spread
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store

LIST_MARK: Final = "status_list"
BLOCK_MARK: Final = "status_block"
_SECRET_BYTES: Final = 16
_KEEP: Final = timedelta(days=3)  # a list is given out on one day only, by clocks that may differ


class StatusPlaces:
    """Gives each session the place of its own in some list."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._turn = Lock()
        self._day = ""
        self._free: Iterator[tuple[str, int]] = iter(())

    async def take(self) -> tuple[str, int]:
        """The list and the index that no other session gets.

        Raises:
            Unavailable: the store could not answer.
        """
        async with self._turn:
            place = next(self._free, None)
            if place is None or f"{self._clock.now():%Y%m%d}" != self._day:
                self._free = await self._reserve(self._clock.now())
                place = next(self._free, None)
        if place is None:
            raise Unavailable("store_unavailable", "no place in a status list could be had")
        return place

    async def _reserve(self, now: datetime) -> Iterator[tuple[str, int]]:
        """A block of places in the first list of the day that has one left."""
        epoch, self._day = (await self._store.head()).epoch, f"{now:%Y%m%d}"
        for number in count():
            name = f"{epoch}-{self._day}-{number}"
            secret = await self._secret(name, now)
            for block in range(SIZE // BLOCK):
                if await self._mark(Once(BLOCK_MARK, f"{name}:{block}", now + _KEEP)):
                    first = block * BLOCK
                    return ((name, spread(secret, n)) for n in range(first, first + BLOCK))
        return iter(())

    async def _secret(self, name: str, now: datetime) -> bytes:
        known = await self._store.mark(LIST_MARK, name, now)
        if known is None:
            await self._mark(Once(LIST_MARK, name, now + _KEEP, self._entropy.token(_SECRET_BYTES)))
            known = await self._store.mark(LIST_MARK, name, now)  # another may have been first
        return (known or name).encode()

    async def _mark(self, mark: Once) -> bool:
        try:
            await self._store.commit(Change(once=(mark,)))
        except Refused:
            return False
        return True
