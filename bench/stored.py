"""Life with 100,000 stored sessions: start-up, memory, and the sweep's question; on both dialects.

Run `python bench/stored.py [--stored N]`; it writes `bench/results/stored.json` and `stored.md`.
What is measured runs in a fresh process, which never held the rows it had to write.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the rows and servers of the tests serve here too

from bench.harness import Figure, publish, resident_mb, said  # noqa: E402
from bench.opens import an_open, opens  # noqa: E402
from tests.rig.store import START, Place, new_database, running_postgres  # noqa: E402

from sojourn.adapters.sql_store import SqlStore  # noqa: E402


async def fill(place: Place, stored: int) -> None:
    """Store so many sessions."""
    store = await place.open()
    for first in range(0, stored, 5000):
        await opens(store, [an_open(number) for number in range(first, min(first + 5000, stored))], 256)
    await store.close()


def measure_afresh(place: Place, stored: int) -> Figure:
    """What a process sees that begins with these sessions stored."""
    return asyncio.run(measure_stored(place, stored))


async def measure_stored(place: Place, stored: int) -> Figure:
    """Start-up, memory and the sweep's question with many sessions stored."""
    before = resident_mb()
    began = time.perf_counter()
    store = await place.open()
    start_ms = (time.perf_counter() - began) * 1e3
    idle = [await swept(store, after=timedelta(0), limit=100) for _ in range(50)]
    due = await swept(store, after=timedelta(hours=2), limit=1000)
    figure: Figure = {
        "what": "stored",
        "dialect": place.dialect,
        "sessions": stored,
        "start_ms": round(start_ms, 1),
        "sweep_idle_ms": round(statistics.median(idle) * 1e3, 2),
        "sweep_1000_due_ms": round(due * 1e3, 1),
        "resident_mb": round(resident_mb()),
        "grown_mb": round(resident_mb() - before, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    await store.close()
    return figure


async def swept(store: SqlStore, *, after: timedelta, limit: int) -> float:
    """How long the sweep's question took."""
    began = time.perf_counter()
    await store.overdue(START + after, beats_until=START, limit=limit)
    return time.perf_counter() - began


async def measure(stored: int) -> list[Figure]:
    """The figures of both dialects."""
    figures = []
    afresh = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as directory, running_postgres() as dsn, afresh:
        sqlite = Place("sqlite", path=Path(directory) / "stored.db")
        for place in (sqlite, Place("postgresql", dsn=await new_database(dsn))):
            await fill(place, stored)
            figures.append(said(afresh.submit(measure_afresh, place, stored).result()))
    return figures


def main() -> None:
    """Measure and write down."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--stored", type=int, default=100_000, help="sessions stored")
    stored = asked.parse_args().stored
    publish("stored", f"Life with {stored:,} stored sessions", asyncio.run(measure(stored)))


if __name__ == "__main__":
    main()
