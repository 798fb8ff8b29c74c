"""Halt a process where it stands, and let it go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.rig.poll import until


def halt(pid: int) -> None:
    """Stop it; returns when it does nothing more, which on a busy machine is not at once."""
    os.kill(pid, signal.SIGSTOP)
    status = Path(f"/proc/{pid}/status")
    until(lambda: "State:\tT" in status.read_text())


def release(pid: int) -> None:
    """Let a halted process go on."""
    os.kill(pid, signal.SIGCONT)
