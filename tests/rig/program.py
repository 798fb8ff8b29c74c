"""One program of ours in a process of its own: started, asked over HTTP, ended by its pid."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from tests.rig.nursery import MODULE, ROOT, Nursling, nursery

STOP_WITHIN_S: Final = 15.0
_POLL_S: Final = 0.02
_SHOWN: Final = 20_000  # characters of its log, from the end


class Program:
    """A command that can be started again after its death; its words go to a file."""

    def __init__(self, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None) -> None:
        self._command, self.log, self._env = tuple(command), log, dict(env or {})
        self._running: subprocess.Popen[bytes] | Nursling | None = None

    @property
    def pid(self) -> int:
        """The process that runs now, or ran last."""
        assert self._running is not None, "it was never started"
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        """Start it; it ends when our end of its standard input closes, if it cares to look."""
        assert not self.alive, "it runs already"
        with self.log.open("ab") as log:
            self._running = self._started(log)

    def _started(self, log: IO[bytes]) -> subprocess.Popen[bytes] | Nursling:
        if self._command[1:3] == ("-m", MODULE) and not self._env:
            return nursery().bear(self._command[3:], log)
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._env},
        )

    def kill(self) -> None:
        """End it as a crash does; returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not."""
        self._end(signal.SIGTERM)

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return None if self._running is None else self._running.poll()

    def wait_for(self, url: str, *, status: int = 200, within_s: float = 30.0) -> None:
        """Until a GET of `url` is answered with `status`."""
        give_up = time.monotonic() + within_s
        while fetch(url) != status:
            assert self.alive, f"it ended:\n{self.words()}"
            assert time.monotonic() < give_up, f"no {status} at {url}:\n{self.words()}"
            time.sleep(_POLL_S)

    def words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-_SHOWN:] if self.log.exists() else ""

    def _end(self, how: signal.Signals) -> None:
        running = self._running
        if running is None or running.poll() is not None:
            return
        running.send_signal(how)
        try:
            running.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(STOP_WITHIN_S)
        if running.stdin is not None:
            running.stdin.close()


def fetch(url: str) -> int | None:
    """The status of a GET on loopback, or None when nobody answers; whoever answers is believed."""
    believing = ssl._create_unverified_context() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(url, timeout=2, context=believing) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
