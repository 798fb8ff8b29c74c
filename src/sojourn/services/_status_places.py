"""Places in status lists, given out without asking the store each time, and never twice.

A process takes a block of numbers by a one-time mark and spreads them over the list by the list's
secret permutation, which all processes share. Each day, and each epoch, begins lists of its own,
so a place that a restored database has forgotten is not given again. Blocks are taken in their
order, all of a list before the next list begins: how far the day has come is found by halving.
"""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.change import Change, Once
from sojourn.core.errors import Refused, Unavailable
from sojourn.core.status_list import BLOCK, SIZE, spread
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store

LIST_MARK: Final = "status_list"
BLOCK_MARK: Final = "status_block"
_SECRET_BYTES: Final = 16
_BLOCKS: Final = SIZE // BLOCK
_KEEP: Final = timedelta(days=3)  # a list is given out on one day only, by clocks that may differ


class StatusPlaces:
    """Gives each session the place of its own in some list."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._turn = Lock()
        self._day = ""
        self._lists = ""  # of which epoch and day
        self._block = 0  # the next one to try, counted over all lists of the day
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
        """A block of places that nobody took yet."""
        epoch, self._day = (await self._store.head()).epoch, f"{now:%Y%m%d}"
        if self._lists != (lists := f"{epoch}-{self._day}"):
            self._block, self._lists = await self._first_free(lists, now), lists
        while True:
            name, block = _block_of(lists, self._block)
            self._block += 1
            if await self._mark(Once(BLOCK_MARK, f"{name}:{block}", now + _KEEP)):
                break  # else another process has taken it
        secret = await self._secret(name, now)
        return ((name, spread(secret, n)) for n in range(block * BLOCK, (block + 1) * BLOCK))

    async def _first_free(self, lists: str, now: datetime) -> int:
        """The first block that nobody has taken."""

        async def is_taken(at: int) -> bool:
            name, block = _block_of(lists, at)
            return await self._store.mark(BLOCK_MARK, f"{name}:{block}", now) is not None

        low = high = 0
        while await is_taken(high):
            low, high = high + 1, 2 * high + 1
        while low < high:
            middle = (low + high) // 2
            if await is_taken(middle):
                low = middle + 1
            else:
                high = middle
        return low

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


def _block_of(lists: str, at: int) -> tuple[str, int]:
    number, block = divmod(at, _BLOCKS)
    return f"{lists}-{number}", block
