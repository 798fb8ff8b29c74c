"""Remembering ends with a write: with one that landed for its kind, with one that may land for good."""

from __future__ import annotations

import asyncio

from sojourn.adapters.remembered import Remembered
from sojourn.core import client
from sojourn.core.change import Change
from sojourn.core.record import RowKind
from tests.rig.store import a_client

REGISTERED = Change(steps=(client.register(a_client()),))


class Table:
    """What is stored, and how often it was read."""

    def __init__(self) -> None:
        self.value, self.reads = 0, 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def read(self) -> int:
        """The value as it was when the reading began."""
        self.reads += 1
        value = self.value
        await self.go_on.wait()
        return value


async def recall(memory: Remembered, table: Table, key: str = "one") -> int:
    return await memory.recall(RowKind.CLIENT, key, table.read)


def test_a_reading_is_kept_until_its_kind_is_written() -> None:
    async def story() -> None:
        memory, table = Remembered(exact=True), Table()
        assert [await recall(memory, table) for _ in range(3)] == [0, 0, 0]
        assert table.reads == 1
        table.value = 1
        memory.forget([REGISTERED])
        assert await recall(memory, table) == 1

    asyncio.run(story())


def test_a_reading_that_a_write_overtook_is_not_kept() -> None:
    async def story() -> None:
        memory, table = Remembered(exact=True), Table()
        table.go_on.clear()
        slow = asyncio.create_task(recall(memory, table))
        while not table.reads:
            await asyncio.sleep(0)
        table.value = 1
        memory.forget([REGISTERED])
        table.go_on.set()
        assert await slow == 0  # it began before the write was answered
        assert await recall(memory, table) == 1

    asyncio.run(story())


def test_nothing_is_kept_once_a_write_may_land_without_a_word_or_where_others_write() -> None:
    async def story() -> None:
        distrusted = Remembered(exact=True)
        distrusted.distrust()
        for memory in (distrusted, Remembered(exact=False)):
            table = Table()
            assert await recall(memory, table) == 0
            table.value = 1
            assert await recall(memory, table) == 1

    asyncio.run(story())


def test_no_more_than_so_many_are_kept() -> None:
    async def story() -> None:
        memory, table = Remembered(exact=True, most=2), Table()
        for key in ("one", "two", "three", "two", "three", "one"):
            await recall(memory, table, key)
        assert table.reads == 4

    asyncio.run(story())
