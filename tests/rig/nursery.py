"""Forks control planes out of a process that has imported one: most of a start is imports.

    python -m tests.rig.nursery FD

It has one thread, so that a fork of it is whole. What is born is a process like any other: with an
id, a log and a standard input of its own, ended by signals; only its exit is asked for here.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parents[2]
MODULE: Final = "tests.rig.control_plane_main"
_MESSAGE: Final = 65_536  # octets, more than any list of arguments of ours
_POLL_S: Final = 0.01
_CLOSE_WITHIN_S: Final = 10.0


class Nursling:
    """A child of the nursery, with what `subprocess.Popen` has of it."""

    def __init__(self, nursery: Nursery, pid: int, stdin: IO[bytes]) -> None:
        self._nursery, self.pid, self.stdin = nursery, pid, stdin
        self._code: int | None = None

    def poll(self) -> int | None:
        """What it ended with; None while it runs."""
        if self._code is None:
            self._code = self._nursery.ask(do="poll", pid=self.pid)
        return self._code

    def wait(self, timeout: float) -> int:
        """What it ends with.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        give_up = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(MODULE, timeout)
            time.sleep(_POLL_S)
        return code

    def send_signal(self, which: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, which)

    def kill(self) -> None:
        """End it as a crash does."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The forking process, from outside; it ends with whoever started it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.rig.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._line, self._turn = ours, threading.Lock()

    def bear(self, arguments: Sequence[str], log: IO[bytes]) -> Nursling:
        """Start a control plane that writes to `log`."""
        end, ours = os.pipe()
        try:
            pid = self.ask((end, log.fileno()), do="bear", arguments=list(arguments))
        finally:
            os.close(end)
        assert pid is not None
        return Nursling(self, pid, os.fdopen(ours, "wb", buffering=0))

    def ask(self, descriptors: Sequence[int] = (), **what: object) -> int | None:
        """Say one thing, and hear what comes of it."""
        with self._turn:
            socket.send_fds(self._line, [json.dumps(what).encode()], descriptors)
            heard: int | None = json.loads(self._line.recv(_MESSAGE))
        return heard

    def close(self) -> None:
        """Let it go."""
        self._line.close()
        self._process.wait(_CLOSE_WITHIN_S)


@cache
def nursery() -> Nursery:
    """The one of this process."""
    made = Nursery()
    atexit.register(made.close)
    return made


def serve(descriptor: int) -> None:
    """Bear and tell, until nobody is there to ask."""
    from sojourn.faces.http.app import made_routes
    from tests.rig.control_plane_main import main

    made_routes()
    assert len(os.listdir("/proc/self/task")) == 1, "something imported has started a thread"
    gc.freeze()  # so that no child copies what it only looks over for garbage
    line = socket.socket(fileno=descriptor)
    while True:
        said, descriptors, _, _ = socket.recv_fds(line, _MESSAGE, 2)
        if not said:
            return
        asked = json.loads(said)
        if asked["do"] == "poll":
            done, status = os.waitpid(asked["pid"], os.WNOHANG)
            line.send(json.dumps(os.waitstatus_to_exitcode(status) if done else None).encode())
            continue
        pid = os.fork()
        if pid == 0:
            line.close()
            os.dup2(descriptors[0], 0)
            os.dup2(descriptors[1], 1)
            os.dup2(descriptors[1], 2)
            for one in descriptors:
                os.close(one)
            _live(partial(main, *asked["arguments"]))
        for one in descriptors:
            os.close(one)
        line.send(json.dumps(pid).encode())


def _live(work: Callable[[], int]) -> None:
    code = 1
    try:
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
