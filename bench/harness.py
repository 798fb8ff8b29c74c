"""What every benchmark shares: where it ran, what it found, and how both are written down.

Knows nothing of what is measured, and writes nothing that tells one machine's paths or names.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "bench" / "results"
Figure = dict[str, str | int | float]
_SCALE: Final = {"ms": 1e3, "us": 1e6}


def publish(name: str, title: str, figures: Sequence[Figure], *, told: str = "") -> None:
    """Write `bench/results/NAME.json` and `NAME.md`; `told` says under what circumstances."""
    where = machine()
    command = " ".join(("python", f"bench/{name}.py", *sys.argv[1:]))
    RESULTS.mkdir(exist_ok=True)
    result = {"command": command, "machine": where, "figures": list(figures)}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    facts = "".join(f"- {key}: {value}\n" for key, value in {"command": f"`{command}`", **where}.items())
    parts = (f"# {title}\n", *([f"{told}\n"] if told else []), _tables(figures), facts)
    (RESULTS / f"{name}.md").write_text("\n".join(parts))


def machine() -> Figure:
    """On what, when, and at which commit the figures were taken; the load tells how much else ran."""
    one, five, _ = os.getloadavg()
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {_cpu()}, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "niceness": os.nice(0),
        "load": f"{one:.1f} over 1 minute, {five:.1f} over 5; our own processes are part of it",
    }


def said(figure: Figure) -> Figure:
    """Print the figure, and hand it on."""
    print(json.dumps(figure), flush=True)
    return figure


def spread(seconds: Sequence[float], unit: str = "ms") -> Figure:
    """How many there were, and how they lie: median, 90th and 99th percentile, and the largest."""
    scale = _SCALE[unit]
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    told = {f"p{percent}_{unit}": round(cuts[percent - 1] * scale, 2) for percent in (50, 90, 99)}
    return {"times": len(seconds), **told, f"max_{unit}": round(max(seconds) * scale, 2)}


def resident_mb() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src")
    return git("rev-parse", "--short=12", "HEAD") + (" and changes" if changed else "")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "unknown processor")


def _tables(figures: Sequence[Figure]) -> str:
    """One table for each set of columns, in the order they came."""
    tables: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        tables.setdefault(tuple(figure), []).append(figure)
    return "\n".join(_table(columns, rows) for columns, rows in tables.items())


def _table(columns: tuple[str, ...], rows: Sequence[Figure]) -> str:
    lines = [columns, tuple("---" for _ in columns), *(tuple(str(row[c]) for c in columns) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def place(process: int, cores: set[int]) -> None:
    """Let every thread of a process, and those to come, run on these cores only."""
    for thread in os.listdir(f"/proc/{process}/task"):
        os.sched_setaffinity(int(thread), cores)
