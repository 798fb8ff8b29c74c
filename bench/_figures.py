"""What the benchmarks share: distributions, the machine, the commit, and a page of results."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_PERCENTS: Final = (50, 90, 99)


def row(name: str, seconds: Sequence[float]) -> str:
    """A line of a table: the distribution of times, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    shown = [f"{1000 * cuts[percent - 1]:.0f}" for percent in _PERCENTS]
    return f"| {name} | {len(seconds)} | {' | '.join(shown)} | {1000 * max(seconds):.0f} |"


HEAD: Final = "| what | times | p50 ms | p90 ms | p99 ms | max ms |\n|---|---:|---:|---:|---:|---:|"


def publish(name: str, title: str, body: str) -> None:
    """Print a page of results, and write it to `bench/results/NAME.md`."""
    # Relative to the project: where it lies on this machine is nobody's figure.
    command = " ".join(("python", f"bench/{name}.py", *sys.argv[1:]))
    page = (
        f"# {title}\n\n{body}\n\n"
        f"- measured: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit `{_commit()}`, command `{command}`\n"
        f"- machine: {os.cpu_count()} cores, {_cpu()}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}\n"
        f"- load average (1 and 5 minutes) at the end: {os.getloadavg()[0]:.1f}, {os.getloadavg()[1]:.1f}; "
        "our own processes are part of it, and so is what else the machine did\n"
    )
    print(page)
    place = ROOT / "bench" / "results" / f"{name}.md"
    place.parent.mkdir(exist_ok=True)
    place.write_text(page)


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
