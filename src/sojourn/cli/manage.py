"""`sojourn session …`: see sessions and take them away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode

from cyclopts import App, Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.kills import kill_many
from sojourn.cli.local import ask_local
from sojourn.cli.offline import kill_offline
from sojourn.cli.output import say, show_json, show_pairs, show_table
from sojourn.cli.receipt import Receipt
from sojourn.client.caller import ClientCaller
from sojourn.client.jsonfacts import Json, member, members, text_or_none
from sojourn.client.views import read_session

app = App(name="session", help="See sessions and take them away.")
Profile = Annotated[str | None, Parameter(help="The profile to use (a file or a folder).")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]

WAIT_S: Final = 25  # of one question; the server answers after 30 at the latest
_MOST_PAGES: Final = 1000


@app.command(name="ls")
def list_sessions(
    *, state: str | None = None, owner: str | None = None, profile: Profile = None, as_json: AsJson = False
) -> int:
    """List sessions, those that go on and those that ended."""

    def work() -> int:
        found = list(_pages(caller_of(profile), {"state": state, "owner": owner}))
        if as_json:
            show_json({"sessions": found})
            return Exit.OK
        heads = ("SESSION", "STATE", "TASK", "OWNER", "CLOSES", "REASON")
        show_table(heads, (_row(s) for s in found))
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def show(session: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Show one session and its credentials."""

    def work() -> int:
        caller = caller_of(profile)
        found = caller.ask("GET", _path(session)).json()
        leases = members(caller.ask("GET", _path(session) + "/leases").json(), "leases")
        if as_json:
            show_json({"session": found, "leases": leases})
            return Exit.OK
        _show(found)
        for line in list(Receipt(read_session(found), leases).lines())[1 : 1 + len(leases)]:
            print(line)
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def kill(
    session: str | None = None,
    /,
    *,
    client: str | None = None,
    owner: str | None = None,
    charter: str | None = None,
    task: str | None = None,
    target: str | None = None,
    key: str | None = None,
    family: str | None = None,
    everything: Annotated[bool, Parameter(negative="")] = False,
    confirm: str | None = None,
    yes: Annotated[bool, Parameter(negative="", help="End what is picked, not only count it.")] = False,
    detail: str = "",
    wait: int = 60,
    offline: bool = False,
    state: Path | None = None,
    config: Path | None = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """End a session now, and wait until that is proven; `--offline` needs only the database.

    With a selector (`--client NAME`, `--task KIND:REF`, …) count the sessions it picks, and with
    `--yes` end them all: guards refuse at once. `--everything` also needs `--confirm everything`.
    """
    picked = {"client": client, "owner": owner, "charter": charter, "task": task, "target": target}
    picked |= {"key": key, "family": family}
    if session is None or everything or any(picked.values()):
        return kill_many(
            {**picked, "session": session} if session else picked,
            everything=everything,
            yes=yes,
            confirm=confirm,
            detail=detail,
            wait=wait,
            profile=profile,
            as_json=as_json,
        )
    if offline:
        return guarded(
            lambda: kill_offline(session, detail, state=state, config=config, as_json=as_json),
            as_json=as_json,
        )
    return _end(
        "kill", session, {"detail": detail} if detail else {}, wait=wait, profile=profile, as_json=as_json
    )


@app.command
def complete(session: str, /, *, as_json: AsJson = False) -> int:
    """Say that a session's work is done, through its `sojourn run` on this machine."""
    return guarded(lambda: _ask_wrapper("complete", session, as_json=as_json), as_json=as_json)


@app.command
def resume(session: str, /, *, as_json: AsJson = False) -> int:
    """Thaw a suspended session: its `sojourn run` on this machine proves itself again."""
    return guarded(lambda: _ask_wrapper("resume", session, as_json=as_json), as_json=as_json)


@app.command
def suspend(session: str, /, *, detail: str = "", profile: Profile = None, as_json: AsJson = False) -> int:
    """Freeze a session: nothing is permitted until its workload proves itself again."""
    return _send("suspend", session, {"detail": detail} if detail else {}, profile=profile, as_json=as_json)


@app.command
def narrow(
    session: str,
    /,
    *,
    drop: Sequence[str] = (),
    drop_action: Sequence[str] = (),
    lower: Sequence[str] = (),
    closes: str | None = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Take grants, actions or rights from a session, or end its window earlier; nothing is ever added.

    `--lower GRANT=TEMPLATE` leaves a downstream grant with what a lesser template says.
    """
    body: dict[str, object] = {"drop": list(drop), "drop_actions": list(drop_action)}
    if closes is not None:
        body["closes"] = closes
    if lower:
        body["lower"] = {one.partition("=")[0]: one.partition("=")[2] for one in lower}
    return _send("narrow", session, body, profile=profile, as_json=as_json)


@app.command
def watch(session: str, /, *, every: float = 1.0, profile: Profile = None, as_json: AsJson = False) -> int:
    """Print a line whenever a session's state changes, until it is ended."""

    def work() -> int:
        caller, last = caller_of(profile), ""
        while last != "ended":
            found = caller.ask("GET", _path(session)).json()
            state = str(found.get("state"))
            if state != last:
                print(_one_line(found, as_json=as_json), flush=True)
            last = state
            time.sleep(0.0 if last == "ended" else max(0.2, every))
        return Exit.OK

    return guarded(work, as_json=as_json)


def _end(verb: str, session: str, body: Json, *, wait: int, profile: str | None, as_json: bool) -> int:
    def work() -> int:
        caller = caller_of(profile)
        found = caller.ask("POST", f"{_path(session)}/{verb}", body).json()
        if not as_json:
            say(f"session {session} {found.get('state')}: refused since {found.get('refused_at')}")
        found = _await_end(caller, session, found, wait=wait)
        leases = members(caller.ask("GET", _path(session) + "/leases").json(), "leases")
        receipt = Receipt(read_session(found), leases)
        if as_json:
            show_json(receipt.to_json())
        else:
            print("\n".join(receipt.lines()))
        return Exit.OK if receipt.session.state == "ended" else Exit.CHECK_FAILED

    return guarded(work, as_json=as_json)


def _await_end(caller: ClientCaller, session: str, found: Json, *, wait: int) -> Json:
    left = wait
    while found.get("state") != "ended" and left > 0:
        turn = min(left, WAIT_S)
        query = urlencode({"until": "ended", "wait_s": turn})
        found = caller.ask("GET", f"{_path(session)}?{query}", wait_s=turn).json()
        left -= turn
    return found


def _send(verb: str, session: str, body: Json, *, profile: str | None, as_json: bool) -> int:
    def work() -> int:
        answer = caller_of(profile).ask("POST", f"{_path(session)}/{verb}", body).json()
        found = member(answer, "session") if "session" in answer else answer
        if as_json:
            show_json(found)
        else:
            _show(found)
        return Exit.OK

    return guarded(work, as_json=as_json)


def _ask_wrapper(verb: str, session: str, *, as_json: bool) -> int:
    found = ask_local(name_in_path(session), "POST", f"/{verb}")
    if as_json:
        show_json(found)
    else:
        _show(found)
    return Exit.OK


def _pages(caller: ClientCaller, asked: dict[str, str | None]) -> Iterator[Json]:
    query = {name: value for name, value in asked.items() if value}
    for _ in range(_MOST_PAGES):
        answer = caller.ask("GET", "/v1/sessions" + (f"?{urlencode(query)}" if query else "")).json()
        yield from members(answer, "sessions")
        after = text_or_none(answer, "next")
        if after is None:
            return
        query["after"] = after


def _path(session: str) -> str:
    return f"/v1/sessions/{name_in_path(session)}"


def _one_line(found: Json, *, as_json: bool) -> str:
    import json

    return json.dumps(found) if as_json else "  ".join(str(cell or "-") for cell in _row(found))


def _row(found: Json) -> tuple[object, ...]:
    view, task = read_session(found), member(found, "task")
    named = f"{task.get('kind')}:{task.get('ref')}"
    return view.id, view.state, named, found.get("owner"), member(found, "window").get("closes"), view.reason


def _show(found: Json) -> None:
    heads = ("session", "state", "task", "owner", "closes", "reason")
    grants = ", ".join(str(g.get("name")) for g in members(found, "grants"))
    rest = [("charter", found.get("charter")), ("grants", grants), ("generation", found.get("generation"))]
    times = [(name, found.get(name)) for name in ("requested_at", "refused_at", "ended_at")]
    show_pairs([*zip(heads, _row(found), strict=True), *rest, *times])
