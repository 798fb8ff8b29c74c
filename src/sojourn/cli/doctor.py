"""`sojourn doctor`: looks for what is likely to go wrong, and says what mends it."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sojourn.cli.calling import guarded
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson
from sojourn.cli.manage import Profile as Chosen
from sojourn.cli.output import printable, show_json
from sojourn.cli.tree import unified_folder
from sojourn.cli.version import installed_version
from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import text
from sojourn.client.profile import Profile, load_profile, profile_path
from sojourn.client.transport import Transport
from sojourn.core.errors import NotFound, SojournError
from sojourn.core.window import parse

_SKEW: Final = timedelta(seconds=5)  # proofs are taken from 60 s ago to 10 s ahead
_WAL_RESET_FIXED: Final = (3, 51, 3)  # before it, two connections could corrupt a WAL


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `level` is ok, warning or failed."""

    name: str
    level: str
    detail: str


def doctor(*, profile: Chosen = None, as_json: AsJson = False) -> int:
    """Check profiles, the way to the server, clocks and versions."""

    def work() -> int:
        found = list(_look(profile))
        if as_json:
            show_json({"findings": [asdict(f) for f in found]})
        else:
            for f in found:
                print(f"{f.level:<8} {f.name:<20} {printable(f.detail)}")
        return Exit.CHECK_FAILED if any(f.level == "failed" for f in found) else Exit.OK

    return guarded(work, as_json=as_json)


def _look(chosen: str | None) -> Iterator[Finding]:
    yield Finding("sojourn", "ok", f"{installed_version()}, Python {platform.python_version()}")
    yield _sqlite()
    yield _cgroup()
    issuers: dict[str, Profile] = {}
    for role in ("operator", "workload"):
        path = profile_path(role, os.environ, chosen=chosen)
        try:
            found = load_profile(path)
        except NotFound:
            yield Finding(f"{role} profile", "warning", f"none at {path}")
        except SojournError as error:
            yield Finding(f"{role} profile", "failed", error.message)
        else:
            issuers[found.issuer] = found
            yield Finding(f"{role} profile", "ok", f"{found.name} ({found.client_id}) at {path}")
    for issuer in issuers:
        yield from _server(issuer)


def _server(issuer: str) -> Iterator[Finding]:
    clock = EdgeClock()
    before = clock.now()
    try:
        told = Transport(issuer).send("GET", "/.well-known/sojourn", {}).json()
        theirs, claimed = parse(text(told, "server_time")), text(told, "issuer")
    except SojournError as error:
        yield Finding("server", "failed", error.message)
        return
    yield from _mode(issuer)
    same = claimed == issuer
    yield Finding("server", "ok" if same else "failed", f"{issuer} answers as {claimed}")
    skew = abs(before + (clock.now() - before) / 2 - theirs)
    level = "ok" if skew <= _SKEW else "failed"
    yield Finding(
        "clock", level, f"{skew.total_seconds():.3f} s from the server's; mend: synchronise this machine"
    )


def _mode(issuer: str) -> Iterator[Finding]:
    try:
        told = Transport(issuer).send("GET", "/readyz", {}).json()
    except SojournError as error:
        yield Finding("ready", "failed", error.message)
        return
    if told.get("mode") != "reconcile":
        yield Finding("ready", "ok", "the database answers")
        return
    detail = "restored: nothing is destroyed in some targets; mend: sojourn target reconcile --all --apply"
    yield Finding("ready", "warning", detail)


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info >= _WAL_RESET_FIXED:
        return Finding("sqlite", "ok", sqlite3.sqlite_version)
    detail = f"{sqlite3.sqlite_version} has the WAL-reset bug (fixed in 3.51.3); `serve` keeps to one writer"
    return Finding("sqlite", "warning", detail)


def _cgroup() -> Finding:
    above: Path | None = unified_folder()
    if above is not None and os.access(above, os.W_OK):
        return Finding("cgroup", "ok", f"a group per run is made in {above}")
    return Finding("cgroup", "warning", "not writable: trees are found through /proc alone")
