"""`sojourn discover`: credentials that stand with no session behind them, in files and in targets."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Final

from cyclopts import Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson, Profile
from sojourn.cli.output import printable, say, show_json, show_table
from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import Json, members
from sojourn.client.private_file import write_private
from sojourn.core.errors import Invalid
from sojourn.core.standing import Severity, Standing, controls, replacement, severity
from sojourn.core.window import parse, show
from sojourn.discovery import Scan

_HOME: Final = (
    ".ssh", ".aws", ".kube", ".docker", ".pgpass", ".my.cnf", ".netrc", ".npmrc", ".pypirc",
    ".vault-token", ".config/gcloud", ".config/gh", ".azure", ".env", ".git-credentials",
)  # fmt: skip
_SAY_EVERY_S: Final = 1.0
_ORDER: Final = list(Severity)


def discover(
    *paths: Path,
    home: Annotated[bool, Parameter(negative="", help="The usual places in your home folder.")] = False,
    target: Annotated[tuple[str, ...], Parameter(help="Ask this target for its accounts, too.")] = (),
    charters: Annotated[
        Path | None, Parameter(help="Write the charter that would replace each finding into this folder.")
    ] = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """List credentials that outlive any task. Secrets are never shown; exits 5 when there are any."""

    def work() -> int:
        roots = [*paths, *_at_home(home)]
        if not roots and not target:
            raise Invalid("usage_discover", "expected a PATH, `--home`, or `--target NAME`")
        now = EdgeClock().now()
        found = [*_in_files(roots), *_in_targets(target, profile)]
        found.sort(key=lambda one: _ORDER.index(severity(one, now)))
        _show(found, now, as_json=as_json)
        if charters is not None:
            _write_charters(charters, found)
        return Exit.CHECK_FAILED if found else Exit.OK

    return guarded(work, as_json=as_json)


def _at_home(wanted: bool) -> list[Path]:
    return [place for name in _HOME if wanted and (place := Path.home() / name).exists()]


def _in_files(roots: list[Path]) -> list[Standing]:
    for root in roots:
        if not root.exists():
            raise Invalid("no_such_path", f"there is no `{root}`")
    told_at = monotonic()

    def scanned(count: int) -> None:
        nonlocal told_at
        if sys.stderr.isatty() and monotonic() - told_at >= _SAY_EVERY_S:
            told_at = monotonic()
            say(f"{count} files looked at")

    return list(Scan(tuple(roots)).run(scanned))


def _in_targets(names: Iterable[str], profile: str | None) -> Iterator[Standing]:
    for name in names:
        path = f"/v1/targets/{name_in_path(name)}/standing"
        answer = caller_of(profile).ask("GET", path, wait_s=45).json()
        yield from (_read(one) for one in members(answer, "standing"))


def _read(told: Json) -> Standing:
    grants = told.get("grants")
    return Standing(
        kind=str(told.get("kind")),
        place=str(told.get("place")),
        name=str(told.get("name")),
        created_at=_instant(told.get("created_at")),
        last_used_at=_instant(told.get("last_used_at")),
        expires_at=_instant(told.get("expires_at")),
        owner_guess=str(told["owner_guess"]) if told.get("owner_guess") else None,
        privileged=told.get("privileged") is True,
        exposed=told.get("exposed") is True,
        grants=grants if isinstance(grants, dict) else None,
    )


def _instant(value: object) -> datetime | None:
    return parse(value) if isinstance(value, str) else None


def _show(found: list[Standing], now: datetime, *, as_json: bool) -> None:
    if as_json:
        show_json({"standing": [_told(one, now) for one in found]})
        return
    heads = ("SEVERITY", "KIND", "NAME", "PLACE", "AGE", "USED", "OWNER", "CONTROLS")
    rows = (
        (severity(one, now), one.kind, one.name, one.place, _days(one.created_at, now),
         _days(one.last_used_at, now), one.owner_guess, " ".join(controls(one, now)))
        for one in found
    )  # fmt: skip
    if not found:
        print("no standing access found")
        return
    show_table(heads, rows)
    counts = Counter(severity(one, now) for one in found)
    said = ", ".join(f"{counts[level]} {level}" for level in Severity if counts[level])
    print(f"\n{len(found)} credentials stand with no session behind them: {said}")


def _told(one: Standing, now: datetime) -> Json:
    instants = {name: value and show(value) for name, value in asdict(one).items() if name.endswith("_at")}
    return {
        **asdict(one),
        **instants,
        "severity": str(severity(one, now)),
        "controls": list(controls(one, now)),
        "charter": dict(replacement(one)),
    }


def _days(since: datetime | None, now: datetime) -> str | None:
    """How long ago, at the least: a file may have been touched since."""
    return None if since is None else f"{max((now - since).days, 0)} d"


def _write_charters(folder: Path, found: list[Standing]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        charter = replacement(one)
        path = folder / f"{charter['name']}.json"
        if not path.exists():
            write_private(path, json.dumps(charter, indent=2) + "\n")
            say(f"wrote {printable(path)}")
