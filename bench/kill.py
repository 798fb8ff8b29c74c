"""From the end of a session to the destruction of its database credential, through the whole stack.

Run `python bench/kill.py [--kills N]`; it writes `bench/results/kill.json` and `kill.md`. The
control plane is a process, the target a real PostgreSQL. Times run from `refused_at`, taken
just before the commit of the end, to `destroyed_at`, written once the target was seen not to
hold it any more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the servers of the tests serve here too

from bench.harness import Figure, publish, said, spread  # noqa: E402
from tests.rig.postgres import PostgresServer  # noqa: E402
from tests.rig.system import DATABASE_GRANT, Plan, System, running, running_postgres  # noqa: E402

from sojourn.client.jsonfacts import text  # noqa: E402
from sojourn.core.window import parse  # noqa: E402

AT_ONCE = 20
OPENERS = 4
ENDED_WITHIN_S = 30
Store = Literal["sqlite", "postgresql"]


@dataclass(slots=True)
class Times:
    """What was measured, in seconds."""

    opened: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    destroyed: list[float] = field(default_factory=list)


def open_one(system: System, times: Times, number: int) -> str:
    """Open a session with a credential in the database."""
    began = time.monotonic()
    live = system.open(str(number), grants=[DATABASE_GRANT])
    times.opened.append(time.monotonic() - began)
    return live.id


def kill_one(system: System, times: Times, session: str) -> None:
    """Kill it, and read from the records when its credential was gone."""
    began = time.monotonic()
    system.end(session)
    times.answered.append(time.monotonic() - began)
    view = system.look(session, until_ended_s=ENDED_WITHIN_S)
    assert view.state == "ended", view.state
    (lease,) = system.leases(session)
    ended, gone = parse(text(view.raw, "refused_at")), parse(text(lease, "destroyed_at"))
    times.destroyed.append((gone - ended).total_seconds())


def measure(postgres: PostgresServer, store: Store, kills: int) -> tuple[Times, Times]:
    """One after another, then `AT_ONCE` at a time; at the end the target holds nothing."""
    alone, together = Times(), Times()
    with running(postgres, Plan(store=store)) as system:
        for number in range(kills):
            kill_one(system, alone, open_one(system, alone, number))
        for first in range(0, kills, AT_ONCE):
            kill_many(system, together, range(first, min(first + AT_ONCE, kills)))
        assert system.roles() == [], system.roles()
    return alone, together


def kill_many(system: System, times: Times, numbers: Sequence[int]) -> None:
    """Open some sessions, then kill all of them at the same moment."""
    with ThreadPoolExecutor(OPENERS) as pool:
        opened = list(pool.map(lambda number: open_one(system, times, number), numbers))
    with ThreadPoolExecutor(len(opened)) as pool:
        list(pool.map(lambda session: kill_one(system, times, session), opened))


def main(kills: int) -> None:
    """Measure on both stores and publish."""
    figures: list[Figure] = []
    with running_postgres() as postgres:
        stores: tuple[Store, ...] = ("sqlite", "postgresql")
        for store in stores:
            for how, times in zip(
                ("one by one", f"{AT_ONCE} at once"), measure(postgres, store, kills), strict=True
            ):
                spans = {
                    "end to destroyed": times.destroyed,
                    "kill asked to kill answered": times.answered,
                    "open, with its credential": times.opened,
                }
                for what, seconds in spans.items():
                    figures.append(said({"what": what, "store": store, "how": how, **spread(seconds)}))
    told = "One database credential a session; target and store on one PostgreSQL with `fsync` on."
    publish("kill", "Kill to destroyed", figures, told=told)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    main(parser.parse_args().kills)
