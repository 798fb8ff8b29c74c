"""`sojourn phase NEXT`: go on to the next phase of the work, and give up what it does not need."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.local import ask_here
from sojourn.cli.output import show_json, show_pairs
from sojourn.client.jsonfacts import member, members


def phase(
    name: str,
    /,
    *,
    session: str | None = None,
    profile: Annotated[str | None, Parameter(help="The profile to use (a file or a folder).")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")] = False,
) -> int:
    """Go on to a phase of the charter: for the session this command runs in, or for `--session`."""

    def work() -> int:
        step = name_in_path(name)
        if session is None:
            found = ask_here("POST", f"/phase/{step}")
        else:
            path = f"/v1/sessions/{name_in_path(session)}/phase"
            found = member(caller_of(profile).ask("POST", path, {"name": step}).json(), "session")
        if as_json:
            show_json(found)
            return Exit.OK
        grants = ", ".join(str(one.get("name")) for one in members(found, "grants"))
        show_pairs([("session", found.get("id")), ("phase", found.get("phase")), ("grants", grants)])
        return Exit.OK

    return guarded(work, as_json=as_json)
