"""Durable opens a second through the store, by callers in flight, on both dialects.

One open is a session row, a lease row and two facts, answered after the fsync. Run
`python bench/store.py [--opens N]`; it writes `bench/results/store.json` and `store.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the rows and servers of the tests serve here too

from bench.harness import Figure, publish, said, spread  # noqa: E402
from bench.opens import an_open, opens  # noqa: E402
from tests.rig.store import Place, new_database, running_postgres  # noqa: E402

IN_FLIGHT = (1, 16, 64, 256)


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
        span, spent = time.perf_counter() - began, time.process_time() - cpu
        figure: Figure = {
            "what": "opens",
            "dialect": place.dialect,
            "in_flight": in_flight,
            "per_second": round(len(changes) / span),
            "cpu_us": round(spent / len(changes) * 1e6),
            **spread(took),
        }
        figures.append(said(figure))
    await store.close()
    return figures


async def measure(each: int) -> list[Figure]:
    """Every figure of both dialects."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as directory, running_postgres() as dsn:
        figures = await measure_opens(Place("sqlite", path=Path(directory) / "opens.db"), each)
        figures += await measure_opens(Place("postgresql", dsn=await new_database(dsn)), each)
    return figures


def main() -> None:
    """Measure and write down."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--opens", type=int, default=4000, help="opens for each figure")
    each = asked.parse_args().opens
    told = "One open is a session row, a lease row and two facts, answered after the fsync."
    publish("store", "Durable opens through the store", asyncio.run(measure(each)), told=told)


if __name__ == "__main__":
    main()
