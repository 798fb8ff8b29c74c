"""`sojourn keys …`: the keys by which the control plane signs."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from cyclopts import App

from sojourn.cli.calling import caller_of, guarded
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson, Profile
from sojourn.cli.output import show_json, show_pairs, show_table
from sojourn.client.jsonfacts import members

app = App(name="keys", help="The keys by which the control plane signs; private halves never show.")
_SHOWN = ("kid", "purpose", "state", "algorithm", "made_at", "activated_at", "retired_at", "revoked_at")


@app.command(name="ls")
def list_keys(*, profile: Profile = None, as_json: AsJson = False) -> int:
    """List the signing keys, oldest first."""

    def work() -> int:
        answer = caller_of(profile).ask("GET", "/v1/keys").json()
        if as_json:
            show_json(answer)
            return Exit.OK
        names = ("kid", "purpose", "state", "activated_at")
        rows = (tuple(key.get(name) for name in names) for key in members(answer, "keys"))
        show_table(("KID", "PURPOSE", "STATE", "ACTIVE SINCE"), rows)
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def rotate(
    purpose: Literal["tokens", "introspection", "status", "events", "checkpoints"] = "tokens",
    /,
    *,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Let the next key of a purpose sign from now on; nothing signed before is refused."""
    return _send("POST", f"/v1/keys/{purpose}/rotate", profile=profile, as_json=as_json)


@app.command
def revoke(kid: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Refuse everything a key ever signed, at guards within a second. There is no way back."""
    return _send("DELETE", f"/v1/keys/{quote(kid, safe='')}", profile=profile, as_json=as_json)


def _send(method: str, path: str, *, profile: Profile, as_json: bool) -> int:
    def work() -> int:
        answer = caller_of(profile).ask(method, path).json()
        if as_json:
            show_json(answer)
        else:
            show_pairs([(name, answer.get(name)) for name in _SHOWN])
        return Exit.OK

    return guarded(work, as_json=as_json)
