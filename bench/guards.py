"""From the end of a session to its first refusal, at 1 and at 4 guards under steady load.

Run `python bench/guards.py [--kills N]`; it writes `bench/results/guards.json` and `guards.md`. Everything is
real: processes, HTTP, proofs, fsync. Times run from `refused_at` (taken just before the
commit) to the arrival of the first refusal, with a probe every 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the servers of the tests serve here too

from bench.harness import Figure, publish, said, spread  # noqa: E402
from tests.rig.flood import Flood, Load, Tally  # noqa: E402
from tests.rig.guards import guards  # noqa: E402
from tests.rig.system import Plan, running, running_postgres  # noqa: E402


def measure(kills: int, count: int) -> Tally:
    """One flood at `count` guards, on a system of its own."""
    with running_postgres() as postgres, running(postgres, Plan()) as system, guards(system, count) as made:
        return asyncio.run(Flood(system, [guard.port for guard in made], Load(kills)).run())


def figures_of(count: int, tally: Tally) -> Iterator[Figure]:
    """The figures of one flood."""
    spans = {
        "end to first refusal, at each guard": tally.refused_after_s,
        "kill asked to kill answered": tally.kill_took_s,
        "a call of the living, there and back": tally.call_took_s,
    }
    for what, seconds in spans.items():
        yield said({"what": what, "guards": count, **spread(seconds)})
    yield said(
        {
            "guards": count,
            "calls_by_the_living": tally.calls,
            "calls_per_second": round(tally.calls / tally.took_s),
            "probes": tally.probes,
            "false_denies": len(tally.false_denies),
            "accepts_after_a_refusal": len(tally.relapses),
        }
    )


def main(kills: int) -> None:
    """Measure and publish."""
    figures = [figure for count in (1, 4) for figure in figures_of(count, measure(kills, count))]
    told = f"{kills} kills at 4/s, 200 calls/s in all, SQLite store, sessions with an API grant alone."
    publish("guards", "Guards under fire", figures, told=told)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    main(parser.parse_args().kills)
