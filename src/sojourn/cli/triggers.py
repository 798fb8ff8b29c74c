"""`sojourn trigger add|ls|rm`: where other systems report that a job is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.output import show_json, show_pairs, show_table
from sojourn.client.jsonfacts import members

app = App(name="trigger", help="Where other systems report that a job is over.")
Profile = Annotated[str | None, Parameter(help="The profile to use (a file or a folder).")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


@app.command
def add(
    name: str,
    /,
    *,
    kind: str,
    setting: Sequence[str] = (),
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Add a trigger: `github_webhook`, `gitlab_webhook` or `signed_webhook`; prints its secret once."""

    def work() -> int:
        settings = {one.partition("=")[0]: one.partition("=")[2] for one in setting}
        body: dict[str, object] = {"name": name, "kind": kind, "settings": settings}
        found = caller_of(profile).ask("POST", "/v1/triggers", body).json()
        if as_json:
            show_json(found)
        else:
            show_pairs([(one, found.get(one)) for one in ("name", "kind", "url", "secret")])
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command(name="ls")
def list_triggers(*, profile: Profile = None, as_json: AsJson = False) -> int:
    """List the triggers."""

    def work() -> int:
        found = members(caller_of(profile).ask("GET", "/v1/triggers").json(), "triggers")
        if as_json:
            show_json({"triggers": found})
            return Exit.OK
        show_table(("NAME", "KIND", "URL"), ((t.get("name"), t.get("kind"), t.get("url")) for t in found))
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def rm(name: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Remove a trigger: what is reported at its name is refused."""

    def work() -> int:
        found = caller_of(profile).ask("DELETE", f"/v1/triggers/{name_in_path(name)}").json()
        if as_json:
            show_json(found)
        else:
            print(f"trigger {name} is removed")
        return Exit.OK

    return guarded(work, as_json=as_json)
