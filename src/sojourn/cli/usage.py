"""`sojourn session usage`: granted against used, and a narrower charter as a diff."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.output import show_json, show_pairs
from sojourn.client.jsonfacts import Json, member


def usage(
    session: str,
    /,
    *,
    profile: Annotated[str | None, Parameter(help="The profile to use (a file or a folder).")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")] = False,
) -> int:
    """Show what a session used of what it was granted, as guards reported it and targets counted it."""

    def work() -> int:
        path = f"/v1/sessions/{name_in_path(session)}/usage"
        found = caller_of(profile).ask("GET", path).json()
        if as_json:
            show_json(found)
            return Exit.OK
        budget, spent = member(found, "budget"), member(found, "spent")
        limits = [(name, f"{spent.get(name)} of {limit or 'no limit'}") for name, limit in budget.items()]
        show_pairs([("session", found.get("session")), *limits])
        show_pairs(sorted(member(found, "used").items()))
        counted = member(found, "counted")
        show_pairs([(name, _said(member(counted, name))) for name in sorted(counted)])
        unused = found.get("unused")
        print(
            f"never used: {', '.join(map(str, unused)) if isinstance(unused, list) and unused else 'nothing'}"
        )
        print(found.get("proposal") or "nothing to take away")
        return Exit.OK

    return guarded(work, as_json=as_json)


def _said(counted: Json) -> str:
    return f"{counted.get('calls')} statements, {counted.get('rows')} rows"
