"""`sojourn hook add|ls|rm|link|unlink`: where facts are told outside, and who answers from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.output import show_json, show_pairs, show_table
from sojourn.client.jsonfacts import Json, member, members

app = App(name="hook", help="Where facts are told outside, and who answers from there.")
Profile = Annotated[str | None, Parameter(help="The profile to use (a file or a folder).")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


@app.command
def add(
    name: str,
    /,
    *,
    url: str,
    event: Sequence[str] = (),
    answers: Annotated[bool, Parameter(negative="", help="Take answers to requests from it.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Tell an https address of events (all kinds, or each `--event`); prints its secret once."""

    def work() -> int:
        body: dict[str, object] = {"name": name, "url": url, "answers": answers}
        if event:
            body["events"] = list(event)
        found = caller_of(profile).ask("POST", "/v1/hooks", body).json()
        if as_json:
            show_json(found)
        else:
            show_pairs([(one, found.get(one)) for one in ("name", "url", "answer_at", "secret")])
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command(name="ls")
def list_hooks(*, profile: Profile = None, as_json: AsJson = False) -> int:
    """List the hooks, and how far each has come."""

    def work() -> int:
        found = members(caller_of(profile).ask("GET", "/v1/hooks").json(), "hooks")
        if as_json:
            show_json({"hooks": found})
            return Exit.OK
        show_table(
            ("NAME", "URL", "PEOPLE", "BEHIND", "GIVEN UP", "LAST ERROR"), (_row(one) for one in found)
        )
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def rm(name: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Remove a hook: it is told nothing more, and no answer is taken from it."""

    def work() -> int:
        found = caller_of(profile).ask("DELETE", f"/v1/hooks/{name_in_path(name)}").json()
        if as_json:
            show_json(found)
        else:
            print(f"hook {name} is removed")
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def link(name: str, person: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Say what you are called at a hook: what is said under that name counts as your word."""

    def work() -> int:
        path = f"/v1/hooks/{name_in_path(name)}/people"
        return _people(caller_of(profile).ask("POST", path, {"person": person}).json(), as_json=as_json)

    return guarded(work, as_json=as_json)


@app.command
def unlink(name: str, person: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Take a name away from whoever speaks under it at a hook."""

    def work() -> int:
        path = f"/v1/hooks/{name_in_path(name)}/people/{name_in_path(person)}"
        return _people(caller_of(profile).ask("DELETE", path).json(), as_json=as_json)

    return guarded(work, as_json=as_json)


def _row(one: Json) -> tuple[object, ...]:
    told = member(one, "told")
    people = len(members(one, "people")) if one.get("answers") else None
    return (
        one.get("name"),
        one.get("url"),
        people,
        told.get("behind"),
        told.get("given_up"),
        told.get("error"),
    )


def _people(found: Json, *, as_json: bool) -> int:
    if as_json:
        show_json(found)
    else:
        show_table(
            ("PERSON", "OPERATOR"), ((p.get("person"), p.get("operator")) for p in members(found, "people"))
        )
    return Exit.OK
