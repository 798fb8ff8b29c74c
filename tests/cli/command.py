"""`sojourn` as tests call it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Sojourn:
    """The command with its environment."""

    argv: list[str]
    environ: dict[str, str]
    runtime: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(self, *words: str, given: str = "", seconds: float = 40) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [*self.argv, *words],
            env=self.environ,
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start and go on."""
        pipe = subprocess.PIPE
        new = subprocess.Popen(
            [*self.argv, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        self.started.append(new)
        return new


def until(what: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    """Whether `what` became true in time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    """Whether `pid` runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def read_pid(path: Path) -> int:
    """The pid written to `path`, once it is there."""
    assert until(lambda: path.exists() and path.read_text().strip().isdecimal()), f"nobody wrote {path}"
    return int(path.read_text())
