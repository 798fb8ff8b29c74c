"""`sojourn session requests|approve|deny|withdraw`: what waits for people, and their answers."""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import urlencode

from cyclopts import Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.output import say, show_json, show_pairs, show_table
from sojourn.client.caller import ClientCaller
from sojourn.client.jsonfacts import Json, members, text
from sojourn.core.errors import NotFound

Profile = Annotated[str | None, Parameter(help="The profile to use (a file or a folder).")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
Yes = Annotated[bool, Parameter(negative="", help="Answer; without this the request is only shown.")]


def requests(*, profile: Profile = None, as_json: AsJson = False) -> int:
    """List the requests that wait for an answer."""

    def work() -> int:
        found = members(caller_of(profile).ask("GET", "/v1/approvals").json(), "approvals")
        if as_json:
            show_json({"approvals": found})
            return Exit.OK
        heads = ("REQUEST", "ABOUT", "OWNER", "ANSWERS", "UNTIL")
        show_table(heads, (_row(one) for one in found))
        return Exit.OK

    return guarded(work, as_json=as_json)


def approve(
    request: str, /, *, yes: Yes = False, detail: str = "", profile: Profile = None, as_json: AsJson = False
) -> int:
    """Say yes to a request (its id, or the session's): shown first, answered with `--yes`."""
    return _answer("approve", request, detail, yes=yes, profile=profile, as_json=as_json)


def deny(
    request: str, /, *, yes: Yes = False, detail: str = "", profile: Profile = None, as_json: AsJson = False
) -> int:
    """Say no to a request (its id, or the session's): shown first, answered with `--yes`."""
    return _answer("deny", request, detail, yes=yes, profile=profile, as_json=as_json)


def withdraw(request: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Take a yes back: what it allowed ends."""

    def work() -> int:
        caller = caller_of(profile)
        found = _find(caller, request)
        path = f"/v1/approvals/{name_in_path(text(found, 'id'))}/withdraw"
        return _show(caller.ask("POST", path, {}).json(), as_json=as_json)

    return guarded(work, as_json=as_json)


def ask(charter: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Ask for the approval of a whole charter: its sessions then open without being asked about."""

    def work() -> int:
        path = f"/v1/charters/{name_in_path(charter)}/approval"
        return _show(caller_of(profile).ask("POST", path, {}).json(), as_json=as_json)

    return guarded(work, as_json=as_json)


def _answer(word: str, request: str, detail: str, *, yes: bool, profile: str | None, as_json: bool) -> int:
    def work() -> int:
        caller = caller_of(profile)
        found = _find(caller, request)
        if not yes:
            _show(found, as_json=as_json)
            say(f"nothing was answered; repeat with --yes to {word} exactly this")
            return Exit.OK
        body: dict[str, object] = {"answer": word, "hash": text(found, "hash"), "detail": detail}
        path = f"/v1/approvals/{name_in_path(text(found, 'id'))}"
        return _show(caller.ask("POST", path, body).json(), as_json=as_json)

    return guarded(work, as_json=as_json)


def _find(caller: ClientCaller, request: str) -> Json:
    if request.startswith("apr_"):
        return caller.ask("GET", f"/v1/approvals/{name_in_path(request)}").json()
    query = urlencode({"subject": request})
    found = members(caller.ask("GET", f"/v1/approvals?{query}").json(), "approvals")
    if not found:
        raise NotFound("unknown_task", f"nobody was asked about `{request[:80]}`")
    return found[-1]


def _row(one: Json) -> tuple[object, ...]:
    answers = f"{len(members(one, 'answers'))} of {one.get('approvals')}"
    return one.get("id"), one.get("subject"), one.get("owner"), answers, one.get("expires_at")


def _show(one: Json, *, as_json: bool) -> int:
    if as_json:
        show_json(one)
        return Exit.OK
    names = ("id", "status", "subject", "requester", "owner", "expires_at", "hash")
    show_pairs([(name, one.get(name)) for name in names])
    print(json.dumps(one.get("shown"), indent=2, ensure_ascii=True))
    for given in members(one, "answers"):
        print(f"{given.get('at')}  {given.get('by')}: {given.get('answer')}  {given.get('detail')}")
    return Exit.OK
