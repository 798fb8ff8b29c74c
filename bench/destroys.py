"""Destructions per second of one target, beside what its server can do, both in one run.

Run `python bench/destroys.py [--each N] [--rounds N]`; it writes `bench/results/destroys.json`
and `destroys.md`. The server's limit: the statements that we send, sent by the bare driver, as
many at once, with nothing of ours around them. Ours: from the order that kills every session to
the moment the last credential is on record as destroyed. Every credential is a real one, opened
by a session; rounds of both alternate, and the ratio is that of their medians.

Apart: the target's server has the first core alone, as it has a machine of its own elsewhere, and
whoever asks it has the others. Together: they share all cores, and the ratio is of processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final, Literal

import asyncpg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the servers of the tests serve here too

from bench.harness import Figure, place, publish, said  # noqa: E402
from tests.acceptance.books import GRANT, Books, with_books  # noqa: E402
from tests.rig.poll import until  # noqa: E402
from tests.rig.postgres import PostgresServer  # noqa: E402
from tests.rig.system import Plan, System, running, running_postgres  # noqa: E402

from sojourn.client.jsonfacts import text  # noqa: E402
from sojourn.core.window import parse  # noqa: E402
from sojourn.providers.postgresql import blocks, observation, removal  # noqa: E402
from sojourn.providers.postgresql.config import POOL_SIZE  # noqa: E402

OPENERS: Final = 4
WITHIN_S: Final = 300
Store = Literal["sqlite", "postgresql"]
Placed = Literal["apart", "together"]
_PLAN: Final = "SELECT clock_timestamp() FROM set_config('sojourn.plan', $1, false) AS plan"


# -- the server's limit ---------------------------------------------------------------------
async def bare(dsn: str, oids: Sequence[int]) -> float:
    """Seconds for these roles, as many at once as we take."""
    waiting, turn = list(oids), asyncio.Lock()
    links = [await asyncpg.connect(dsn) for _ in range(POOL_SIZE)]

    async def work(link: asyncpg.Connection) -> None:
        while waiting:
            await destroy(link, waiting.pop(), turn)

    try:
        began = time.monotonic()
        await asyncio.gather(*map(work, links))
        return time.monotonic() - began
    finally:
        for link in links:
            await link.close()


async def destroy(link: asyncpg.Connection, oid: int, turn: asyncio.Lock) -> None:
    """What our provider sends to take one role away and to see that it is gone, in its order."""
    await link.fetchval(_PLAN, json.dumps({"oid": str(oid), "final": True, "cut": False}))
    await link.execute(blocks.BAR)
    for _ in range(observation.CLEAN_READS):
        await link.fetchval(removal._CUT, oid)
    await link.fetch(removal._PREPARED, oid)
    await link.fetch(removal._DATABASES, oid)
    await link.fetchval(_PLAN, json.dumps({"oid": str(oid)}))
    async with turn:  # two that drop privileges on one table at once fail
        await link.execute(blocks.DROP)
    for _ in range(observation.CLEAN_READS):
        seen = await link.fetchrow(observation._READ, oid, "sj_none", "sojourn:sj_none:")
        assert not seen["there"]


# -- places ----------------------------------------------------------------------------------
@contextmanager
def apart(postgres: PostgresServer, system: System) -> Iterator[None]:
    """The target's server on the first core; ours, and we, on the others."""
    before = os.sched_getaffinity(0)
    first, others = {min(before)}, before - {min(before)}
    for process in _family(int((postgres.directory / "data/postmaster.pid").read_text().split()[0])):
        place(process, first)
    place(system.program.pid, others)
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _family(pid: int) -> list[int]:
    """A process and its children; those to come take after it."""
    kids = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *map(int, kids)]


# -- ours ------------------------------------------------------------------------------------
def open_many(system: System, count: int) -> list[str]:
    """Sessions with one credential each."""
    with ThreadPoolExecutor(OPENERS) as pool:
        return list(pool.map(lambda n: system.open(str(n), grants=[GRANT]).id, range(count)))


def kill_all(system: System, sessions: Sequence[str]) -> float:
    """Kill them by one order; seconds from it to the last destruction on record."""
    ordered = system.operator.ask("POST", "/v1/kills", {"kind": "client", "name": "runner"}).json()
    until(lambda: system.roles() == [], within_s=WITHIN_S, every_s=1.0)
    for session in sessions:
        system.look(session, until_ended_s=30)
    gone = [text(lease, "destroyed_at") for one in sessions for lease in system.leases(one)]
    assert len(gone) == len(sessions)
    return (max(map(parse, gone)) - parse(text(ordered, "ordered_at"))).total_seconds()


def one_round(system: System, books: Books, each: int) -> tuple[float, float]:
    """Destructions per second of the bare server, then of ours."""
    sessions = open_many(system, each)
    roles = ", ".join(f"'{role}'" for role in system.roles())
    oids = system.postgres.sql(f"SELECT oid FROM pg_roles WHERE rolname IN ({roles})").split()
    assert len(oids) == each
    limit = each / asyncio.run(bare(books.dsn(), list(map(int, oids))))
    kill_all(system, sessions)  # nothing is left of them but the record
    return limit, each / kill_all(system, open_many(system, each))


def measure(store: Store, placed: Placed, each: int, rounds: int) -> Figure:
    """Alternate, and compare the medians."""
    with running_postgres() as postgres, running(postgres, Plan(store=store)) as system:
        books = with_books(system)
        with apart(postgres, system) if placed == "apart" else nullcontext():
            found = [one_round(system, books, each) for _ in range(rounds)]
    limit, ours = (statistics.median(column) for column in zip(*found, strict=True))
    told: Figure = {"target": "postgresql", "store": store, "placed": placed, "at_once": POOL_SIZE}
    return told | {
        "each": each,
        "limit_per_s": round(limit, 1),
        "ours_per_s": round(ours, 1),
        "ratio": round(ours / limit, 2),
    }


def main(each: int, rounds: int) -> None:
    """Measure on both stores, in both places, and publish."""
    stores: tuple[Store, ...] = ("sqlite", "postgresql")
    places: tuple[Placed, ...] = ("apart", "together") if len(os.sched_getaffinity(0)) > 1 else ("together",)
    figures = [said(measure(store, placed, each, rounds)) for placed in places for store in stores]
    publish(
        "destroys",
        "Destructions per second of one target",
        figures,
        told="`limit_per_s`: the same statements by the bare driver, over as many connections. Apart: the\n"
        "target has the first core alone, as if it were a machine of its own, and the asker the rest.\n"
        "Together: all share all cores. The store on PostgreSQL shares the server with the target.",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    main(asked.each, asked.rounds)
