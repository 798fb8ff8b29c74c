"""Remembering ends with a write: with one that landed for its kind, with one that may land for good."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from sojourn.adapters.remembered import HEAD, Remembered
from sojourn.adapters.sql_writes import Later
from sojourn.core import client
from sojourn.core.change import Change, Once, Revocation, RevocationKind
from sojourn.core.errors import Refused
from sojourn.core.record import RowKind
from sojourn.ports.store import Head
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


NOW = datetime(2026, 1, 1, tzinfo=UTC)
REVOKED = Change(revocations=(Revocation(RevocationKind.EVERYTHING, "", None, NOW),))
MARKED = Change(once=(Once("jti", "one", NOW),))
REFUSED = Refused("replayed", "this jti was used before")


@pytest.mark.parametrize(
    ("change", "moves"), [(REGISTERED, True), (REVOKED, True), (MARKED, False)], ids=["fact", "entry", "mark"]
)
def test_the_head_is_read_anew_once_something_was_numbered(change: Change, *, moves: bool) -> None:
    async def story() -> None:
        memory, table = Remembered(exact=True), Table()
        for _ in range(2):
            assert await memory.recall(HEAD, "", table.read) == 0
        table.value = 1
        memory.forget([change])
        assert await memory.recall(HEAD, "", table.read) == moves

    asyncio.run(story())


def test_the_head_of_the_last_change_of_a_batch_is_known_until_nothing_is() -> None:
    stored = Head(9, 9, 9)

    async def read() -> Head:
        return stored

    async def story() -> None:
        memory = Remembered(exact=True)
        for outcomes in ([Head(1, 5, 0), REFUSED, Head(1, 6, 2), Later.POSTPONED], [REFUSED]):
            memory.keep_head(outcomes)
            assert await memory.recall(HEAD, "", read) == Head(1, 6, 2)
        memory.distrust()
        assert await memory.recall(HEAD, "", read) is stored

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
