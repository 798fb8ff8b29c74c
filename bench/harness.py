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
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "bench" / "results"
Figure = dict[str, str | int | float]


def publish(name: str, command: str, figures: Sequence[Figure]) -> None:
    """Write `bench/results/NAME.json` and `NAME.md`."""
    where = machine()
    RESULTS.mkdir(exist_ok=True)
    result = {"command": command, "machine": where, "figures": list(figures)}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    facts = ", ".join(f"{key} {value}" for key, value in where.items())
    page = f"# {name}\n\n`{command}`\n\n{facts}\n\n{_tables(figures)}"
    (RESULTS / f"{name}.md").write_text(page)


def machine() -> Figure:
    """On what, and at which commit, the figures were taken; the load tells how much else ran."""
    return {
        "commit": _commit(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def said(figure: Figure) -> Figure:
    """Print the figure, and hand it on."""
    print(json.dumps(figure), flush=True)
    return figure


def spread(seconds: Sequence[float], unit: str = "ms") -> Figure:
    """Median and 99th percentile."""
    scale = {"ms": 1e3, "us": 1e6}[unit]
    return {
        f"p50_{unit}": round(statistics.median(seconds) * scale, 2),
        f"p99_{unit}": round(statistics.quantiles(seconds, n=100)[98] * scale, 2),
    }


def resident_mb() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src")
    return git("rev-parse", "HEAD") + (" and changes" if changed else "")


def _tables(figures: Sequence[Figure]) -> str:
    """One table for each set of columns, in the order they came."""
    tables: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        tables.setdefault(tuple(figure), []).append(figure)
    return "\n".join(_table(columns, rows) for columns, rows in tables.items())


def _table(columns: tuple[str, ...], rows: Sequence[Figure]) -> str:
    lines = [columns, tuple("---" for _ in columns), *(tuple(str(row[c]) for c in columns) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
