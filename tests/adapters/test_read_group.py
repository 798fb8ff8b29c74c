"""Reads in one group: each gets its own answer or its own error, and sees what was committed before it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from sojourn.adapters.read_group import ReadGroup
from sojourn.adapters.sqlite_database import SqliteDatabase
from sojourn.core.errors import Unavailable


def _told(value: int, _: Connection) -> int:
    return value


def test_only_the_guilty_read_fails(tmp_path: Path) -> None:
    def number(value: int) -> Any:
        def work(connection: Connection) -> int:
            if value % 7 == 3:
                raise ValueError(f"{value} is refused")
            return int(connection.execute(text("SELECT :value"), {"value": value}).scalar_one())

        return work

    async def story() -> None:
        database = SqliteDatabase(tmp_path / "one")
        asked = (database.read(number(value)) for value in range(200))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for value, answer in enumerate(answers):
            assert answer == value if value % 7 != 3 else str(answer) == f"{value} is refused"
        await database.close()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await database.read(number(1))

    asyncio.run(story())


def test_who_waits_for_a_thread_goes_together_and_who_has_gone_is_passed_over() -> None:
    groups: list[int] = []
    free = threading.Event()

    def once(work: Any) -> Any:
        assert free.wait(10)
        answers = work(None)
        groups.append(len(answers))
        return answers

    async def story() -> None:
        with ThreadPoolExecutor(1) as threads:
            group = ReadGroup(threads, once)
            asked = [asyncio.create_task(group.read(partial(_told, n))) for n in range(10)]
            await asyncio.sleep(0)
            asked[4].cancel()
            free.set()
            assert await asyncio.gather(*asked[:4], *asked[5:]) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert sum(groups) == 10 and len(groups) <= 2

    asyncio.run(story())
