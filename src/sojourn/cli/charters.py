"""`sojourn charter …`: what a kind of task may have, in immutable versions."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.documents import read_document
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson, Profile
from sojourn.cli.output import show_json, show_pairs, show_table
from sojourn.client.jsonfacts import members

app = App(name="charter", help="What a kind of task may have.")


@app.command
def apply(file: Path, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Load a charter; one that differs becomes its next version."""

    def work() -> int:
        answer = caller_of(profile).ask("PUT", "/v1/charters", read_document(file)).json()
        if as_json:
            show_json(answer)
            return Exit.OK
        changed = "is new" if answer.get("changed") is True else "was there already"
        print(f"charter {answer.get('name')}@{answer.get('number')} {changed}")
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command(name="ls")
def list_charters(*, profile: Profile = None, as_json: AsJson = False) -> int:
    """List the charters."""

    def work() -> int:
        answer = caller_of(profile).ask("GET", "/v1/charters").json()
        if as_json:
            show_json(answer)
            return Exit.OK
        rows = ((c.get("name"), c.get("number"), c.get("owner")) for c in members(answer, "charters"))
        show_table(("CHARTER", "VERSION", "OWNER"), rows)
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def show(name: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Show one charter."""

    def work() -> int:
        answer = caller_of(profile).ask("GET", f"/v1/charters/{name_in_path(name)}").json()
        if as_json:
            show_json(answer)
            return Exit.OK
        show_pairs(answer.items())
        return Exit.OK

    return guarded(work, as_json=as_json)
