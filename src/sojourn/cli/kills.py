"""`sojourn session kill --client …` and `sojourn offboard`: counted first, ended at a word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.output import say, show_json
from sojourn.client.caller import ClientCaller
from sojourn.client.jsonfacts import Json, members
from sojourn.core.errors import Invalid

_LOOK_EVERY_S = 0.2


def kill_many(
    picked: dict[str, str | None],
    *,
    everything: bool,
    yes: bool,
    confirm: str | None,
    detail: str,
    wait: int,
    profile: str | None,
    as_json: bool,
) -> int:
    """Count what the one selector of `picked` covers; with `yes` end it."""

    def work() -> int:
        kind, name = _selector(picked, everything=everything)
        asked: dict[str, object] = {"kind": kind, "name": name, "detail": detail}
        caller = caller_of(profile)
        counted = caller.ask("POST", "/v1/kills", {**asked, "dry_run": True}).json()
        if not yes:
            if as_json:
                show_json(counted)
            else:
                print(_counted(counted))
                say("nothing was changed; repeat with --yes to end them")
            return Exit.OK
        if not as_json:
            print(_counted(counted))
        ordered = caller.ask("POST", "/v1/kills", {**asked, "confirm": confirm}).json()
        return _wait(caller, [ordered], wait=wait, as_json=as_json)

    return guarded(work, as_json=as_json)


def offboard(
    owner: str,
    /,
    *,
    yes: Annotated[bool, Parameter(negative="", help="Do it; without this it is only counted.")] = False,
    detail: str = "",
    wait: int = 60,
    profile: Annotated[str | None, Parameter(help="The profile to use (a file or a folder).")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")] = False,
) -> int:
    """End everything of an owner: sessions, registered callers, and what its charters may open."""

    def work() -> int:
        caller = caller_of(profile)
        body: dict[str, object] = {"owner": owner, "detail": detail, "dry_run": not yes}
        found = caller.ask("POST", "/v1/offboardings", body).json()
        if as_json and not yes:
            show_json(found)
            return Exit.OK
        if not as_json:
            print("\n".join(_left(found)))
        if not yes:
            say("nothing was changed; repeat with --yes to end them")
            return Exit.OK
        return _wait(caller, list(members(found, "kills")), wait=wait, as_json=as_json)

    return guarded(work, as_json=as_json)


def _selector(picked: dict[str, str | None], *, everything: bool) -> tuple[str, str]:
    given = [(kind, name) for kind, name in picked.items() if name is not None]
    given += [("everything", "*")] if everything else []
    if len(given) != 1:
        raise Invalid("usage_selector", f"expected one session or one selector, got {len(given)}")
    return given[0]


def _wait(caller: ClientCaller, ordered: list[Json], *, wait: int, as_json: bool) -> int:
    deadline = time.monotonic() + wait
    found = ordered
    while any(one.get("state") != "finished" for one in found) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
        found = [caller.ask("GET", f"/v1/kills/{name_in_path(str(one.get('id')))}").json() for one in found]
    done = all(one.get("state") == "finished" for one in found)
    if as_json:
        show_json({"kills": found})
    else:
        print("\n".join(_told(found)))
    return Exit.OK if done else Exit.CHECK_FAILED


def _told(kills: list[Json]) -> Iterator[str]:
    for one in kills:
        what = f"{one.get('kind')} {one.get('name')}: refused since feed number {one.get('n')}"
        yield f"{what}; {one.get('state')}, {one.get('ended')} ended"


def _counted(count: Json) -> str:
    states = count.get("sessions")
    listed = ", ".join(f"{n} {state}" for state, n in states.items()) if isinstance(states, dict) else ""
    return f"{count.get('kind')} {count.get('name')}: {count.get('total')} sessions ({listed or 'none'})"


def _left(found: Json) -> Iterator[str]:
    for name in ("clients", "charters"):
        held = found.get(name)
        yield f"{name}: {', '.join(map(str, held)) if isinstance(held, list) and held else 'none'}"
    yield from (_counted(one) for one in members(found, "counts"))
