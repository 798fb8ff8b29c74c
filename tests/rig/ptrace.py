"""Follow every thread of a child, count the system calls that change the world, kill at the N-th.

The count runs over all threads together, which `strace -e inject` cannot do: it counts for each
thread and each call by itself. The kill falls before the call takes effect; to kill after the
N-th is to kill before the next. Pipes and sockets within the machine's own process are not
counted: they wake threads and change nothing that outlives them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_SYSCALL: Final = 24
_SYSCALL_INFO: Final = 0x420E
_FOLLOW: Final = 0x1 | 0x2 | 0x4 | 0x8 | 0x10  # mark system calls; forks, vforks, clones, execs
_ENTRY: Final = 1
_WALL: Final = 0x40000000
_ON_SYSCALL: Final = signal.SIGTRAP | 0x80

_X86: Final = {
    1: "write", 18: "pwrite64", 20: "writev", 44: "sendto", 46: "sendmsg", 74: "fsync", 75: "fdatasync",
    77: "ftruncate", 82: "rename", 86: "link", 87: "unlink", 263: "unlinkat", 264: "renameat",
    265: "linkat", 285: "fallocate", 296: "pwritev", 316: "renameat2",
}  # fmt: skip
_ARM: Final = {
    35: "unlinkat", 37: "linkat", 38: "renameat", 46: "ftruncate", 47: "fallocate", 64: "write",
    66: "writev", 68: "pwrite64", 70: "pwritev", 82: "fsync", 83: "fdatasync", 206: "sendto",
    211: "sendmsg", 276: "renameat2",
}  # fmt: skip
_EFFECTS: Final = {"x86_64": _X86, "aarch64": _ARM}.get(platform.machine(), {})
_ON_PATHS: Final = frozenset({"rename", "link", "unlink", "unlinkat", "renameat", "linkat", "renameat2"})

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class _Call(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("at", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
        ("reserved", ctypes.c_uint64),
    )


@dataclass(slots=True)
class Trace:
    """What a child did while it was followed, in order, and whether it was killed for it."""

    kill_at: int | None = None
    calls: list[str] = field(default_factory=list)
    killed: bool = False
    status: int = 0


def possible() -> bool:
    """Whether this machine lets us follow a child of ours."""
    if not _EFFECTS:
        return False
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        return _ptrace(_SEIZE, child, 0, _FOLLOW)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, _WALL)


def seize(pid: int) -> None:
    """Begin to follow a child of ours and every thread it has; it stops at its next call."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if not _ptrace(_SEIZE, int(task.name), 0, _FOLLOW):
            raise OSError(ctypes.get_errno(), "a thread cannot be followed")
        _ptrace(_INTERRUPT, int(task.name), 0, 0)


def follow(pid: int, kill_at: int | None) -> Trace:
    """Follow the seized `pid` to its end, and end it before its `kill_at`-th effect."""
    trace = Trace(kill_at)
    kinds: dict[str, str] = {}
    while True:
        thread, status = os.waitpid(-1, _WALL)
        if not os.WIFSTOPPED(status):
            if thread == pid:
                trace.status = status
                return trace
            continue
        stopped_by = os.WSTOPSIG(status)
        if stopped_by == _ON_SYSCALL:
            _count(pid, thread, trace, kinds)
        deliver = 0 if status >> 16 or stopped_by == _ON_SYSCALL else stopped_by
        _ptrace(_SYSCALL, thread, 0, deliver)


def _count(pid: int, thread: int, trace: Trace, kinds: dict[str, str]) -> None:
    call = _Call()
    if not _ptrace(_SYSCALL_INFO, thread, ctypes.sizeof(call), ctypes.addressof(call)) or call.op != _ENTRY:
        return
    name = _EFFECTS.get(call.number)
    if name is None or trace.killed:
        return
    where = "" if name in _ON_PATHS else _kind(pid, call.arguments[0], kinds)
    if where is None:
        return
    trace.calls.append(f"{name} {where}".strip())
    if len(trace.calls) == trace.kill_at:
        trace.killed = True
        os.kill(pid, signal.SIGKILL)


def _kind(pid: int, descriptor: int, kinds: dict[str, str]) -> str | None:
    """What a descriptor leads to: a file's name, `tcp`, or None for what stays among threads."""
    try:
        link = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return "?"
    if link not in kinds:
        kinds[link] = _named(pid, link)
    return kinds[link] or None


def _named(pid: int, link: str) -> str:
    if link.startswith("/"):
        return Path(link).name
    if not link.startswith("socket:["):
        return ""
    inode = link.removeprefix("socket:[").removesuffix("]")
    unix = Path(f"/proc/{pid}/net/unix").read_text()
    return "" if any(line.split()[6:7] == [inode] for line in unix.splitlines()) else "tcp"


def _ptrace(request: int, thread: int, address: int, content: int) -> bool:
    # A thread that was killed meanwhile cannot be asked; its end is waited for, not this call.
    return int(_libc.ptrace(request, thread, address, content)) >= 0
