"""A server process of ours: started in the foreground, stopped by its pid, never left behind."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

STOP_SECONDS: Final = 15.0
_LIBC: Final = ctypes.CDLL(None)


class Daemon:
    """One running process with its log."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        with log.open("ab") as out:
            self._running = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=None if env is None else dict(env),
                user=user,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.pid

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._running.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and see that it does."""
        if self._running.poll() is not None:
            return
        self._running.send_signal(how)
        try:
            self._running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait(STOP_SECONDS)


def _die_with_parent() -> None:
    """A run of tests that is ended hard leaves no server behind (PR_SET_PDEATHSIG)."""
    _LIBC.prctl(1, signal.SIGKILL)


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
