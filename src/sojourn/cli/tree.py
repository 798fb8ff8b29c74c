"""Finds and ends every descendant of a process: by `/proc`, and by a cgroup where one can be made."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PASSES: Final = 50  # of freezing; each finds what was forked during the one before


def descendants(root: int) -> list[int]:
    """Every living descendant of `root`, without zombies."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        pid, found = int(entry), _parent_and_state(entry)
        if found is not None:
            children.setdefault(found[0], []).append(pid)
            if found[1] in "ZX":
                dead.add(pid)
    every, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        every += below
        todo += below
    return [pid for pid in every if pid not in dead]


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to each; those already gone are no matter."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone, or changed to a user we may not touch: the cgroup's business


def kill_all(root: int, group: Path | None) -> int:
    """Kill every descendant of `root` and every member of `group`; how many there were.

    They are stopped first, until no new one shows: what forks fast cannot outrun this.
    """
    seen: set[int] = set()
    for _ in range(_PASSES):
        new = (set(descendants(root)) | members(group)) - seen
        if not new:
            break
        send(new, signal.SIGSTOP)
        seen |= new
    if group is not None:
        _write(group / "cgroup.kill", "1")
    send(seen, signal.SIGKILL)
    return len(seen)


def make_group(session: str) -> Path | None:
    """A cgroup of our own (v2) for the child, or None where that is not allowed."""
    above = unified_folder()
    if above is None:
        return None
    group = above / f"sojourn-{session}-{secrets.token_hex(4)}"
    try:
        group.mkdir()
    except OSError:
        return None
    return group


def join_group(group: Path) -> None:
    """Move the calling process into `group`; best effort."""
    _write(group / "cgroup.procs", "0")


def members(group: Path | None) -> set[int]:
    """Who is in `group`."""
    if group is None:
        return set()
    try:
        return {int(line) for line in (group / "cgroup.procs").read_text().split()}
    except OSError:
        return set()


def remove_group(group: Path | None) -> None:
    """Remove an empty group."""
    if group is None:
        return
    try:
        group.rmdir()
    except OSError:
        return  # a zombie is still counted; an empty group is harmless


def _parent_and_state(pid: str) -> tuple[int, str] | None:
    try:
        # Not by a Path: a walk over all processes, repeated until none is left, takes a third less.
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            stat = file.read()
    except OSError:
        return None
    # The name, in parentheses, may hold anything, parentheses too.
    state, parent = stat.rpartition(")")[2].split()[:2]
    return int(parent), state


def unified_folder() -> Path | None:
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        own = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    roots = [fields[1] for line in mounts if len(fields := line.split()) > 2 and fields[2] == "cgroup2"]
    paths = [line[3:] for line in own if line.startswith("0::")]
    return Path(roots[0] + paths[0]) if roots and paths else None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        return  # the walk through /proc does the same, less surely
