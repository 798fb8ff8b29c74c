#!/usr/bin/python3 -IS
"""The host's half, installed there as one file: who is admitted, and the end of what they run.

    sojourn-host STATE prepare                   once, as root: folders and an empty KRL
    sojourn-host STATE session HANDLE SERIAL     forced by a session's certificate, as its user
    sojourn-host STATE orders                    forced by the control plane's certificate, as root

`admitted/HANDLE` lets a certificate in, `ended/HANDLE` keeps it out for ever, and both are what
the KRL is made of. A session registers by running, and looks for its admission only then; an end
removes the admission first and looks for running sessions only then: neither can miss the other.
Standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import re
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MARK = "SOJOURN_SESSION"
HANDLE = re.compile(r"[a-z0-9_]{2,100}")
CLEAN_SCANS = 3
SCAN_GAP_S = 0.01
KILL_WITHIN_S = 4.0
KEEP_AFTER_S = 3600  # clocks differ, and a certificate may be judged by another host
KEY_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")  # as sshd has it unless told otherwise
KEY_TYPES = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")
MOST_KEYS = 1000
LARGEST_FILE = 1 << 20
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
REFUSED = 255

Order = dict[str, Any]


class Refusal(Exception):
    """An order that is not carried out, by a code that the control plane knows."""


def main(argv: list[str]) -> int:
    """Do what the arguments say."""
    state = Path(argv[1])
    match argv[2:]:
        case ["prepare"]:
            return prepare(state)
        case ["session", handle, serial] if HANDLE.fullmatch(handle) and serial.isdecimal():
            return run_session(state, handle, serial)
        case ["orders"]:
            return take_order(state)
        case _:
            sys.stderr.write("sojourn-host STATE prepare | session HANDLE SERIAL | orders\n")
            return REFUSED


# -- a session, as its own user --------------------------------------------------------
def run_session(state: Path, handle: str, serial: str) -> int:
    """Run what was asked for, while the handle is admitted; what it started ends with it."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)  # orphans come to us, so that they are found
    admission = read(state / "admitted" / handle)
    if not is_open(admission, serial):
        sys.stderr.write("this access is over\n")
        return REFUSED
    account = pwd.getpwuid(os.getuid())
    wanted = os.environ.get("SSH_ORIGINAL_COMMAND")
    shell = account.pw_shell or "/bin/sh"
    command = [shell, "-c", wanted] if wanted else ["-" + shell.rsplit("/", 1)[-1]]
    child = subprocess.Popen(command, executable=shell, env={**os.environ, MARK: handle})
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # they are for what runs in the terminal
    try:
        left = max(float(admission["expires_at"]) - time.time(), 0.0)
        code = child.wait(timeout=left)
    except subprocess.TimeoutExpired:
        code = REFUSED
    cut(lambda: {pid for pid in every_process() if descends_from(pid, os.getpid())})
    return code if code >= 0 else 128 - code


def is_open(admission: Order, serial: str) -> bool:
    """Whether a certificate of that serial is let in now."""
    fits = admission.get("serial") == serial and admission.get("state") == "open"
    return fits and time.time() < float(admission["expires_at"])


# -- orders, as root -------------------------------------------------------------------
def take_order(state: Path) -> int:
    """Say what time it is here; take one order as a line of JSON, and answer with a line."""
    say({"now": time.time()})
    order = json.loads(sys.stdin.readline(65536) or "{}")
    verbs: dict[str, Callable[[Path, Order], Order]] = {
        "admit": admit,
        "freeze": freeze,
        "thaw": thaw,
        "end": end,
        "look": look,
        "list": list_admitted,
        "keys": list_keys,
    }
    verb = verbs.get(str(order.get("verb")))
    try:
        if verb is None or not HANDLE.fullmatch(str(order.get("handle", ""))):
            raise Refusal("bad_order")
        say(verb(state, order))
    except Refusal as refusal:
        say({"refused": str(refusal)})
    return 0


def admit(state: Path, order: Order) -> Order:
    """Let a certificate in: once for each handle, never for one that has ended, never late."""
    handle = order["handle"]
    with turn(state):
        require_time(order)
        if (state / "ended" / handle).exists() or (state / "admitted" / handle).exists():
            raise Refusal("handle_taken")
        admission = {
            "id": secrets.token_hex(8),
            "serial": str(order["serial"]),
            "state": "open",
            "expires_at": float(order["expires_at"]),
            "revoked": [],
            "at": time.time(),
        }
        write(state / "admitted" / handle, admission)
    return {"id": admission["id"]}


def freeze(state: Path, order: Order) -> Order:
    """Let nobody in under the handle, and end what runs; `thaw` lets another certificate in."""
    with turn(state):
        place = state / "admitted" / order["handle"]
        admission = read(place)
        if admission:
            revoked = [*admission["revoked"], admission["serial"]]
            write(place, {**admission, "state": "frozen", "revoked": sorted(set(revoked))})
            publish(state)
    return {"left": cut_session(order["handle"])}


def thaw(state: Path, order: Order) -> Order:
    """Let another certificate in under a handle that is frozen, unless it is late."""
    with turn(state):
        require_time(order)
        place = state / "admitted" / order["handle"]
        admission = read(place)
        if admission.get("state") != "frozen":
            raise Refusal("missing_object")
        renewed = {"state": "open", "serial": str(order["serial"]), "expires_at": float(order["expires_at"])}
        write(place, {**admission, **renewed})
    return {"id": admission["id"]}


def end(state: Path, order: Order) -> Order:
    """Let nobody in under the handle ever again, and end what runs."""
    handle = order["handle"]
    with turn(state):
        admission = read(state / "admitted" / handle)
        known = read(state / "ended" / handle)
        serials = {*known.get("serials", ()), *admission.get("revoked", ())}
        serials |= {admission["serial"]} if admission else set()
        until = max(
            float(order["until"]), float(admission.get("expires_at", 0)), float(known.get("until", 0))
        )
        write(state / "ended" / handle, {"serials": sorted(serials), "until": until})
        (state / "admitted" / handle).unlink(missing_ok=True)
        publish(state)
    return {"left": cut_session(handle)}


def look(state: Path, order: Order) -> Order:
    """What there is of a handle: its admission, and what runs, by scans that agree."""
    handle = order["handle"]
    admission = read(state / "admitted" / handle)
    scans = 0
    running = len(running_in(handle))
    while not running and scans < CLEAN_SCANS - 1:
        time.sleep(SCAN_GAP_S)
        running, scans = len(running_in(handle)), scans + 1
    revoked = is_revoked(state, read(state / "ended" / handle).get("serials", []))
    return {
        "state": admission.get("state"),
        "id": admission.get("id"),
        "running": running,
        "scans": scans + 1,
        "revoked": revoked,
    }


def list_admitted(state: Path, order: Order) -> Order:
    """Every handle that is admitted and begins with what is given."""
    found = []
    for place in sorted((state / "admitted").iterdir()):
        admission = read(place)
        if place.name.startswith(order["handle"]) and admission:
            found.append({"handle": place.name, "id": admission["id"], "at": admission["at"]})
    return {"found": found}


def list_keys(state: Path, _: Order) -> Order:
    """Every line with a key that lets somebody in, by account; public keys give nothing away.

    `authorized_keys_files` in the folder names the files, as `AuthorizedKeysFile` does in sshd_config.
    """
    named = state / "authorized_keys_files"
    found = []
    for account in pwd.getpwall():
        for pattern in named.read_text().split() if named.exists() else KEY_FILES:
            place = Path(account.pw_dir, pattern.replace("%h", account.pw_dir).replace("%u", account.pw_name))
            whose = {"user": account.pw_name, "uid": account.pw_uid, "place": str(place)}
            found += [{**whose, **line} for line in key_lines(place)]
    if len(found) > MOST_KEYS:
        raise Refusal("too_many")
    return {"found": found}


def key_lines(place: Path) -> list[Order]:
    """The lines of a file that hold a key; none if it is not a file that can be read."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not hold us up
        about = os.fstat(descriptor)
        with open(descriptor, "rb") as file:
            raw = file.read(LARGEST_FILE + 1) if stat.S_ISREG(about.st_mode) else b""
    except OSError:
        return []
    if len(raw) > LARGEST_FILE:
        raise Refusal("too_many")
    lines = enumerate(raw.decode(errors="replace").splitlines(), 1)
    keys = ((n, line) for n, line in lines if any(word.startswith(KEY_TYPES) for word in line.split()))
    return [{"number": n, "line": line, "changed": about.st_mtime} for n, line in keys]


def require_time(order: Order) -> None:
    """Refuse what arrives after its deadline, by this host's clock."""
    if time.time() > float(order["deadline"]):
        raise Refusal("deadline_passed")


# -- processes -------------------------------------------------------------------------
def cut_session(handle: str) -> int:
    """End every process of the handle, and the connection they came by; how many are left."""
    return cut(lambda: running_in(handle))


def cut(find: Callable[[], set[int]]) -> int:
    """Stop what is found until nothing new appears, end it, and look until several looks agree."""
    give_up = time.monotonic() + KILL_WITHIN_S
    clean = 0
    while clean < CLEAN_SCANS and time.monotonic() < give_up:
        stopped: set[int] = set()
        while fresh := find() - stopped:
            for pid in fresh:  # stopped first: a process that is being ended must not start others
                strike(pid, signal.SIGSTOP)
            stopped |= fresh
        for pid in stopped:
            strike(pid, signal.SIGKILL)
        clean = 0 if stopped else clean + 1
        time.sleep(SCAN_GAP_S)
    return len(find())


def running_in(handle: str) -> set[int]:
    """The processes of a handle: its wrappers and their connections, what descends, what is marked."""
    wanted = f"\0session\0{handle}\0".encode()
    mark = f"\0{MARK}={handle}\0".encode()
    parents, members = {}, set()
    for pid in every_process():
        parents[pid] = parent_of(pid)
        is_wrapper = wanted in b"\0" + read_proc(pid, "cmdline")
        if is_wrapper or mark in b"\0" + read_proc(pid, "environ") + b"\0":
            members.add(pid)
        if is_wrapper and read_proc(parents[pid], "comm").startswith(b"sshd"):
            members.add(parents[pid])
    grown = True
    while grown:
        kin = {pid for pid, parent in parents.items() if parent in members} - members
        members |= kin
        grown = bool(kin)
    return members - {os.getpid()}


def every_process() -> list[int]:
    """The processes that run: a zombie is dead, and its parent's affair."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and parent_of(int(name))]


def parent_of(pid: int) -> int:
    """The parent of a process; 0 if it is gone, or a zombie."""
    fields = read_proc(pid, "stat").rpartition(b") ")[2].split()
    return 0 if len(fields) < 2 or fields[0] in (b"Z", b"X") else max(int(fields[1]), 1)


def descends_from(pid: int, elder: int) -> bool:
    """Whether a process is below another in the tree."""
    while pid > 1:
        pid = parent_of(pid)
        if pid == elder:
            return True
    return False


def read_proc(pid: int, name: str) -> bytes:
    """A file of /proc, or nothing when the process is gone or not ours to read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def strike(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


# -- files -----------------------------------------------------------------------------
def prepare(state: Path) -> int:
    """Make the folders and an empty KRL: without one, sshd lets nobody in by key."""
    for place in (state, state / "admitted", state / "ended"):
        place.mkdir(mode=0o755, exist_ok=True)
    with turn(state):
        publish(state)
    return 0


def publish(state: Path) -> None:
    """Write the KRL anew from what has ended; sshd reads it at each login (`ssh-keygen -k`)."""
    now = time.time()
    serials: set[str] = set()
    for place in (state / "ended").iterdir():
        ended = read(place)
        if float(ended.get("until", now)) + KEEP_AFTER_S < now:
            place.unlink(missing_ok=True)
            continue
        serials |= set(ended.get("serials", ()))
    for place in (state / "admitted").iterdir():
        serials |= set(read(place).get("revoked", ()))
    listed, draft = state / "krl.txt", state / "krl.new"
    listed.write_text("".join(f"serial: {serial}\n" for serial in sorted(serials)))
    command = ["ssh-keygen", "-q", "-k", "-f", str(draft), "-s", str(state / "ca.pub")]
    version = ["-z", str(int(now * 1000)), str(listed)]
    subprocess.run([*command, *version], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    draft.chmod(0o644)
    draft.replace(state / "krl")


def is_revoked(state: Path, serials: list[str]) -> bool:
    """Whether the list that sshd reads was made after these serials had ended."""
    known = (state / "krl.txt").read_text().split() if (state / "krl.txt").exists() else []
    return bool(serials) and all(serial in known for serial in serials)


@contextlib.contextmanager
def turn(state: Path) -> Iterator[None]:
    """One order that changes anything at a time."""
    with (state / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read(place: Path) -> Order:
    """A record, or an empty one if there is none."""
    try:
        found = json.loads(place.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(place: Path, record: Order) -> None:
    """Write a record whole, on the disk before it is in its place."""
    draft = place.parent.parent / f"{place.name}.new"
    with draft.open("w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(0o644)
    draft.replace(place)


def say(answer: Order) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
