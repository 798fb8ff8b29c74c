"""The wrapper's end of the line to the keeper: orders out, events in."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import Final

from sojourn.cli.keeper import keep

LOST: Final = "lost"
_ROOM: Final = 64  # events of one run are few


class Tether:
    """One keeper and its events, which arrive in `events` as small objects."""

    def __init__(self, channel: socket.socket, pid: int, core: int) -> None:
        self.events: queue.Queue[Mapping[str, object]] = queue.Queue(_ROOM)
        self._channel, self._pid, self._core, self._lock = channel, pid, core, Lock()

    @classmethod
    def fork(cls, core: int) -> Tether:
        """Split off the keeper; `core` is the limit the command gets back."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            keep(theirs)
        theirs.close()
        return cls(ours, pid, core)

    def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        folder: Path,
        group: Path | None,
        own_session: bool,
    ) -> None:
        """Have the command run, then listen."""
        what = {
            "argv": list(argv),
            "env": dict(env),
            "group": str(group) if group else "",
            "folder": str(folder),
            "own_session": own_session,
            "core": self._core,
        }
        self._order({"start": what})
        Thread(target=self._listen, name="tether", daemon=True).start()

    def signal(self, number: int) -> None:
        """Pass a signal on to the command."""
        self._order({"signal": int(number)})

    def hold(self, seconds: float) -> None:
        """Let the command go on for so long, unless said again."""
        self._order({"hold": seconds})

    def end(self) -> None:
        """End the command and all it started."""
        self._order({"end": True})

    def close(self) -> None:
        """Let the keeper go: whatever still runs, it ends."""
        self._channel.close()
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            return

    def _order(self, order: Mapping[str, object]) -> None:
        with self._lock:
            try:
                self._channel.sendall(json.dumps(order).encode() + b"\n")
            except OSError:
                return  # the keeper is gone; the listening thread says so

    def _listen(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with self._channel.makefile("rb") as lines:
                for line in lines:
                    self.events.put(json.loads(line), timeout=10)
        except (OSError, ValueError):
            pass
        self.events.put({LOST: True}, timeout=10)
