"""One open as the store sees it, and many of them at a time; for the benchmarks of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tests.rig.store import START, a_lease, a_session

from sojourn.adapters.sql_store import SqlStore
from sojourn.core import lease, session
from sojourn.core.change import Change


def an_open(number: int) -> Change:
    """The change of one open."""
    requested = session.request(a_session(number, context={"job": "42"}))
    return Change(steps=(requested, lease.plan(a_lease(number, requested.row), START)))


async def opens(store: SqlStore, changes: Sequence[Change], in_flight: int) -> list[float]:
    """Commit all changes with so many callers; how long each took, in seconds."""
    waiting = iter(changes)
    took: list[float] = []

    async def caller() -> None:
        for change in waiting:
            began = time.perf_counter()
            await store.commit(change)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return took
