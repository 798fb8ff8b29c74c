"""`sojourn charter …`: what a kind of task may have, in immutable versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cyclopts import App

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.documents import read_document
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson, Profile
from sojourn.cli.output import show_json, show_pairs, show_table
from sojourn.client.jsonfacts import members
from sojourn.core.errors import NotFound

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


@app.command
def diff(file: Path, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Say what applying this file would change; exit code 5 if anything."""

    def work() -> int:
        from sojourn.cli.policy_files import read_shown, written_out

        wanted = written_out(read_document(file))
        try:
            shown = caller_of(profile).ask("GET", f"/v1/charters/{wanted['name']}").json()
            held = written_out(read_shown(shown))
        except NotFound:
            held = {}
        changes = list(_changes("", held, wanted))
        if as_json:
            show_json(
                {"changes": [{"member": m, "from": before, "to": after} for m, before, after in changes]}
            )
        else:
            show_table(("MEMBER", "IN FORCE", "IN THE FILE"), changes)
        return Exit.CHECK_FAILED if changes else Exit.OK

    return guarded(work, as_json=as_json)


def _changes(place: str, held: object, wanted: object) -> Iterator[tuple[str, object, object]]:
    """Each member that differs."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        for name in sorted(held.keys() | wanted.keys()):
            yield from _changes(f"{place}.{name}".lstrip("."), held.get(name), wanted.get(name))
    elif held != wanted:
        yield place, held, wanted
