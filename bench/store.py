"""What the store does in a second: durable opens, and life with 100,000 stored sessions.

One open is a session row, a lease row and two facts, answered after the fsync. Run
`python bench/store.py [--opens N] [--stored N]`; it writes `bench/results/store.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the rows and servers of the tests serve here too

from tests.rig.store import START, Place, a_lease, a_session, new_database, running_postgres  # noqa: E402

from sojourn.adapters.sql_store import SqlStore  # noqa: E402
from sojourn.core import lease, session  # noqa: E402
from sojourn.core.change import Change  # noqa: E402

IN_FLIGHT = (1, 16, 64, 256)
Figure = dict[str, str | int | float]


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


async def measure_opens(place: Place, each: int) -> list[Figure]:
    """Opens per second at each number in flight."""
    store = await place.open()
    numbers = itertools.count(1)
    await opens(store, [an_open(next(numbers)) for _ in range(200)], 16)
    figures = []
    for in_flight in IN_FLIGHT:
        changes = [an_open(next(numbers)) for _ in range(each if in_flight > 1 else each // 4)]
        began, cpu = time.perf_counter(), time.process_time()
        took = await opens(store, changes, in_flight)
        span = time.perf_counter() - began
        figure: Figure = {
            "what": "opens",
            "dialect": place.dialect,
            "in_flight": in_flight,
            "per_second": round(len(changes) / span),
            "p50_ms": round(statistics.median(took) * 1e3, 2),
            "p99_ms": round(statistics.quantiles(took, n=100)[98] * 1e3, 2),
            "cpu_us": round((time.process_time() - cpu) / len(changes) * 1e6),
        }
        figures.append(said(figure))
    await store.close()
    return figures


async def measure_stored(place: Place, stored: int) -> list[Figure]:
    """Start-up, memory and the sweep's question with many sessions stored."""
    store = await place.open()
    for first in range(0, stored, 5000):
        await opens(store, [an_open(number) for number in range(first, min(first + 5000, stored))], 256)
    await store.close()

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
    return [said(figure)]


async def swept(store: SqlStore, *, after: timedelta, limit: int) -> float:
    """How long the sweep's question took."""
    began = time.perf_counter()
    await store.overdue(START + after, beats_until=START, limit=limit)
    return time.perf_counter() - began


def resident_mb() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def said(figure: Figure) -> Figure:
    """Print the figure, and hand it on."""
    print(json.dumps(figure), flush=True)
    return figure


def machine() -> Figure:
    """Where and on what the figures were taken."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


async def measure(each: int, stored: int) -> list[Figure]:
    """Every figure of both dialects."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as directory, running_postgres() as dsn:
        figures = await measure_opens(Place("sqlite", path=Path(directory) / "opens.db"), each)
        figures += await measure_opens(Place("postgresql", dsn=await new_database(dsn)), each)
        if stored:
            figures += await measure_stored(Place("sqlite", path=Path(directory) / "stored.db"), stored)
            figures += await measure_stored(Place("postgresql", dsn=await new_database(dsn)), stored)
    return figures


def main() -> None:
    """Measure and write down."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--opens", type=int, default=8000, help="opens for each figure")
    asked.add_argument("--stored", type=int, default=100_000, help="sessions stored for the last figures")
    wanted = asked.parse_args()
    result = {"machine": machine(), "figures": asyncio.run(measure(wanted.opens, wanted.stored))}
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "store.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
