"""`sojourn session review` and `reviews`: what was done in emergencies is looked at by a person."""

from __future__ import annotations

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson, Profile, app
from sojourn.cli.output import show_json, show_table
from sojourn.client.jsonfacts import members

__all__ = ["app", "review", "reviews"]  # the group of `session`, with two more commands


@app.command
def review(session: str, /, *, note: str, profile: Profile = None, as_json: AsJson = False) -> int:
    """Record that you looked at a break-glass session after its end, and what you found."""

    def work() -> int:
        path = f"/v1/sessions/{name_in_path(session)}/review"
        answer = caller_of(profile).ask("POST", path, {"note": note}).json()
        if as_json:
            show_json(answer)
            return Exit.OK
        print(f"session {answer.get('session')} was reviewed by {answer.get('done_by')}")
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def reviews(*, owed: bool = False, profile: Profile = None, as_json: AsJson = False) -> int:
    """List the reviews of break-glass sessions; `--owed`: only those that nobody did yet."""

    def work() -> int:
        path = "/v1/reviews?owed=true" if owed else "/v1/reviews"
        answer = caller_of(profile).ask("GET", path).json()
        if as_json:
            show_json(answer)
            return Exit.OK
        rows = (
            (one.get("session"), one.get("charter"), one.get("owner"), one.get("done_by"), one.get("note"))
            for one in members(answer, "reviews")
        )
        show_table(("SESSION", "CHARTER", "OWNER", "REVIEWED BY", "FOUND"), rows)
        return Exit.OK

    return guarded(work, as_json=as_json)
