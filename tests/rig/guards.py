"""Guards as they are deployed: each in a uvicorn process of its own, before an application."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.rig.program import Program, free_port
from tests.rig.system import System

STOCK_API = "tests.rig.stock_api:create"


class GuardProgram:
    """One guarded API."""

    def __init__(self, profile: Path, log: Path, *, factory: str = STOCK_API) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(self.port)]
        command += ["--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
        env = {"GUARD_PROFILE": str(profile), "GUARD_BASE": self.base}
        self.program = Program(command, log, env=env)

    def start(self) -> None:
        """Start it; returns when requests are answered, if only by a refusal."""
        self.program.start()
        self.program.wait_for(f"{self.base}/stock", status=401)


@contextmanager
def guards(system: System, count: int, *, factory: str = STOCK_API) -> Iterator[Sequence[GuardProgram]]:
    """`count` guards that are up, and gone afterwards; each is a client of its own."""
    names = [f"guard-{number}" for number in range(count)]
    made = [GuardProgram(system.add_guard(n), system.place / f"{n}.log", factory=factory) for n in names]
    try:
        for guard in made:
            guard.start()
        yield made
    finally:
        for name, guard in zip(names, made, strict=True):
            guard.program.stop()
            print(f"-- {name}\n{guard.program.words()}")
