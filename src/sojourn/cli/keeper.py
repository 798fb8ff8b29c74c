"""The keeper: a small process between `sojourn run` and the command, which ends the whole tree.

It is forked before any secret exists and outlives the wrapper: when the wrapper dies, is stopped
or falls silent, it kills what is left. It knows nothing of sessions; it is told how long the
command may go on (`hold`), and to stop (`end`).
"""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from sojourn.cli.hardening import adopt_orphans, die_with_parent
from sojourn.cli.tree import (
    descendants,
    join_group,
    kill_all,
    members,
    remove_group,
    send,
)
from sojourn.client.clock import EdgeClock

GRACE_S: Final = 2.0  # between TERM and KILL
FORWARDED: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_TICK_S: Final = 0.02
_SLACK_S: Final = 1.0  # the wrapper decides first; this is for when it cannot
_NOT_FOUND: Final = 127
_NOT_RUNNABLE: Final = 126


def keep(channel: socket.socket) -> NoReturn:
    """Be the keeper: run one command as told over `channel`, then exit."""
    code = 1
    try:
        adopt_orphans()
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        _Keeper(channel).run()
        code = 0
    finally:
        os._exit(code)


class _Keeper:
    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._buffer = channel, b""
        self._child = 0
        self._group: Path | None = None
        self._own_session = False
        self._folder = ""
        self._code: int | None = None
        self._deadline: float | None = None
        self._over = False

    def run(self) -> None:
        readable, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        while not self._over and self._code is None:
            ready, _, _ = select.select([self._channel.fileno(), readable], [], [], 0.5)
            if readable in ready:
                os.read(readable, 4096)
            if self._channel.fileno() in ready:
                self._listen()
            self._reap()
            if self._deadline is not None and _now() > self._deadline:
                self._over = True
        self._finish()

    def _listen(self) -> None:
        piece = self._channel.recv(1 << 16)
        self._over = self._over or not piece  # nobody is there any more
        self._buffer += piece
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, object]) -> None:
        match order:
            case {"start": dict(what)}:
                self._start(what)
            case {"signal": int(number)}:
                self._forward(number)
            case {"hold": int() | float() as seconds}:
                self._deadline = _now() + seconds + _SLACK_S
            case {"end": True}:
                self._over = True
            case _:
                pass  # a newer wrapper's word

    def _start(self, what: dict[str, object]) -> None:
        argv, env, self._own_session = what["argv"], what["env"], what["own_session"] is True
        self._group = Path(str(what["group"])) if what["group"] else None
        self._folder = str(what["folder"])
        if not isinstance(argv, list) or not isinstance(env, dict):
            raise TypeError("the wrapper sent a malformed order")
        keeper, core = os.getpid(), int(str(what["core"]))
        self._child = os.fork()
        if self._child == 0:
            _become(argv, env, keeper=keeper, prepare=lambda: self._prepare(core))
        self._tell({"pid": self._child})

    def _prepare(self, core: int) -> None:
        import resource

        if self._own_session:
            os.setsid()
        if self._group is not None:
            join_group(self._group)
        resource.setrlimit(resource.RLIMIT_CORE, (core, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def _forward(self, number: int) -> None:
        if self._own_session and self._child:
            # The whole job, as a terminal would.
            try:
                os.killpg(self._child, number)
            except ProcessLookupError:
                return
            return
        send([self._child] if self._child else [], number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._code = exit_code(status)
                self._tell({"exit": self._code})

    def _finish(self) -> None:
        # Without a command there is nothing below: a refused session costs no walk through /proc.
        ended, killed = self._end_all() if self._child else (0, 0)
        remove_group(self._group)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)  # the wrapper may not live to do it
        self._tell({"gone": ended, "killed": killed})

    def _end_all(self) -> tuple[int, int]:
        """End what is left: ask, wait, then kill until nothing remains; how many each was."""
        left = self._left()
        send(left, signal.SIGTERM)
        send(left, signal.SIGCONT)
        self._until(lambda: not self._left(), GRACE_S)
        killed = 0
        while self._left():
            killed += kill_all(os.getpid(), self._group)
            self._until(lambda: not self._left(), GRACE_S)
        self._reap()
        return len(left), killed

    def _left(self) -> list[int]:
        return sorted({*descendants(os.getpid()), *members(self._group)})

    def _until(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = _now() + seconds
        while not done() and _now() < deadline:
            time.sleep(_TICK_S)
            self._reap()

    def _tell(self, event: dict[str, object]) -> None:
        try:
            self._channel.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            self._over = True  # the wrapper is gone


def _become(argv: list[str], env: dict[str, str], *, keeper: int, prepare: Callable[[], None]) -> NoReturn:
    """In the forked child: turn into the command."""
    try:
        prepare()
        die_with_parent()
        if os.getppid() != keeper:
            os._exit(_NOT_RUNNABLE)  # the keeper died before the kernel knew whom to watch
        for number in (*FORWARDED, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(argv[0], argv, env)  # noqa: S606 - running it is the purpose
    except OSError as error:
        os.write(2, f"sojourn: cannot run `{argv[0]}`: {error.strerror}\n".encode(errors="backslashreplace"))
        os._exit(_NOT_FOUND if error.errno == errno.ENOENT else _NOT_RUNNABLE)
    finally:
        os._exit(_NOT_RUNNABLE)


def exit_code(status: int) -> int:
    """A wait status as a shell shows it: the code, or 128 and the signal's number."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _now() -> float:
    return EdgeClock().monotonic()
