"""Forks lives out of a warmed-up process, watches them, kills them, and says what they did.

    python -m tests.rig.cradle PLACE

It has one thread and no event loop, so that a fork of it is whole. A line is a command,
`{"do": "prepare" | "live" | "load" | "break" | "recover" | "possible", …}`; the answer is what the fork
told, or how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from sojourn.faces.http.app import made_routes
from tests.rig import ptrace, recovery
from tests.rig.one_life import Gate, Place, bear_broken_disk, live, load, prepare
from tests.rig.poll import until

GATE_SECONDS: Final = 20.0
RECOVERY_SECONDS: Final = 60.0
Answer = dict[str, Any]


class _Fork:
    """A child, what it says, and the gate it stands at."""

    def __init__(self, work: Callable[[Gate], Awaitable[None]]) -> None:
        said, tell = os.pipe()
        held, self._open = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(said)
            os.close(self._open)
            _run(work, Gate(tell, held))
        os.close(tell)
        os.close(held)
        self._said, self._text = said, b""

    def until_gate(self) -> bool:
        """Whether it came to the gate before it ended."""
        return self.until_said("gate")

    def until_said(self, word: str) -> bool:
        """Whether it said a line that begins with `word` before it ended."""
        wanted, deadline = f"\n{word}".encode(), time.monotonic() + GATE_SECONDS
        while wanted not in b"\n" + self._text and time.monotonic() < deadline:
            if select.select([self._said], [], [], 0.1)[0] and not self._read():
                return False
        return wanted in b"\n" + self._text

    def let_go(self) -> None:
        """Open the gate."""
        os.write(self._open, b"1")

    def listen(self, seconds: float) -> None:
        """Hear what it says for so long, or until it ends."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._said], [], [], left)[0] and not self._read():
                return

    def words(self) -> list[str]:
        """Everything it said before it ended; the child is gone by now."""
        while self._read():
            pass
        os.close(self._said)
        os.close(self._open)
        whole, _, _ = self._text.rpartition(b"\n")  # the last line may have been cut off by the kill
        return whole.decode().splitlines()

    def end(self) -> int:
        """Kill it if it still runs; how it ended."""
        os.kill(self.pid, signal.SIGKILL)
        return os.waitpid(self.pid, 0)[1]

    def _read(self) -> bool:
        heard = os.read(self._said, 65536)
        self._text += heard
        return bool(heard)


def _run(work: Callable[[Gate], Awaitable[None]], gate: Gate) -> None:
    """In the child: play, and leave without anything of the parent's being flushed."""
    code = 1
    try:
        asyncio.run(_awaited(work, gate))
        code = 0
    finally:
        if code:  # the child's last word, whatever it is
            gate.say("failed " + json.dumps(traceback.format_exc()))
        os._exit(code)


async def _awaited(work: Callable[[Gate], Awaitable[None]], gate: Gate) -> None:
    await work(gate)


def serve(place: Place) -> None:
    """Answer commands until there are no more."""
    made_routes()  # every fork would make them anew, which takes as long as the rest of its start

    async def recovered(gate: Gate) -> None:
        gate.say("told " + json.dumps(await recovery.recover(place)))

    for line in sys.stdin:
        asked = json.loads(line)
        match asked["do"]:
            case "possible":
                answer: Answer = {"possible": ptrace.possible()}
            case "prepare":
                answer = _to_the_end(_Fork(lambda _: prepare(place)))
            case "recover":
                answer = _to_the_end(_Fork(recovered))
            case "live":
                answer = _watched(_Fork(partial(live, place, asked["phase"])), asked["kill"])
            case "break":
                answer = _broken(place, _Fork(partial(bear_broken_disk, place)), asked["sync"])
            case _:
                answer = _loaded(_Fork(partial(load, place)), asked["seconds"], asked["heard"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _to_the_end(fork: _Fork) -> Answer:
    fork.listen(RECOVERY_SECONDS)
    fork.end()
    words = fork.words()
    told = [word.removeprefix("told ") for word in words if word.startswith("told ")]
    return {"words": words, **(json.loads(told[0]) if told else {})}


def _watched(fork: _Fork, kill_at: int | None) -> Answer:
    if not fork.until_gate():
        return {"words": fork.words(), "status": fork.end(), "killed": False, "calls": []}
    ptrace.seize(fork.pid)
    fork.let_go()
    trace = asdict(ptrace.follow(fork.pid, kill_at))
    return {**trace, "words": fork.words()}


def _broken(place: Place, fork: _Fork, sync: int) -> Answer:
    """Let the `sync`-th fdatasync of its journal from the gate on fail: one thread makes them all."""
    fork.until_gate()
    fault = f"inject=fdatasync:error=EIO:when={sync}"
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", "-e", fault]
    watcher = subprocess.Popen([*command, "-P", f"{place.database}-wal", "-p", str(fork.pid)])
    until(lambda: _all_traced(fork.pid))
    fork.let_go()
    fork.listen(RECOVERY_SECONDS)
    status = fork.end()
    watcher.wait(GATE_SECONDS)
    return {"words": fork.words(), "status": status}


def _all_traced(pid: int) -> bool:
    tasks = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all("TracerPid:\t0\n" not in task for task in tasks)


def _loaded(fork: _Fork, seconds: float, heard: str) -> Answer:
    """Kill it `seconds` after it first said `heard`."""
    fork.until_said(heard)
    fork.listen(seconds)
    status = fork.end()
    return {"words": fork.words(), "status": status}


if __name__ == "__main__":
    serve(Place(**json.loads(Path(sys.argv[1]).read_text())))
