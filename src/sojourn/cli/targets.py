"""`sojourn target …`: the systems in which credentials are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.documents import read_document
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson, Profile
from sojourn.cli.output import printable, show_json, show_pairs, show_table
from sojourn.cli.typed_secret import read_secret
from sojourn.client.caller import ClientCaller
from sojourn.client.jsonfacts import Json, members, text
from sojourn.core.errors import Invalid

app = App(name="target", help="The systems in which credentials are made.")
SecretFile = Annotated[
    Path | None,
    Parameter(allow_leading_hyphen=True, help="A 0600 file with the DSN; `-` reads standard input."),
]


@app.command
def add(
    name: str,
    /,
    *,
    provider: str = "postgresql",
    templates: Annotated[Path | None, Parameter(help="YAML or JSON: the grant templates by name.")] = None,
    settings: Annotated[Path | None, Parameter(help="YAML or JSON: settings of the target.")] = None,
    secret_file: SecretFile = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Add a target. Its admin DSN comes by file, prompt or standard input, never as an argument."""

    def work() -> int:
        body: dict[str, object] = {
            "name": name_in_path(name),
            "provider": provider,
            "settings": dict(read_document(settings)) if settings else {},
            "templates": dict(read_document(templates)) if templates else {},
            "secret": read_secret("admin DSN", secret_file).reveal(),
        }
        _show(caller_of(profile).ask("POST", "/v1/targets", body).json(), as_json=as_json)
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command(name="ls")
def list_targets(*, profile: Profile = None, as_json: AsJson = False) -> int:
    """List the targets."""

    def work() -> int:
        answer = caller_of(profile).ask("GET", "/v1/targets").json()
        if as_json:
            show_json(answer)
            return Exit.OK
        rows = ((t.get("name"), t.get("provider"), t.get("state")) for t in members(answer, "targets"))
        show_table(("TARGET", "PROVIDER", "STATE"), rows)
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def show(name: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Show one target."""
    return _send("GET", name, "", profile=profile, as_json=as_json)


@app.command
def credential(
    name: str, /, *, secret_file: SecretFile = None, profile: Profile = None, as_json: AsJson = False
) -> int:
    """Use another admin credential, once the target has answered to it. It comes as for `target add`."""

    def work() -> int:
        body = {"secret": read_secret("new admin DSN", secret_file).reveal()}
        answer = caller_of(profile).ask("POST", f"{_path(name)}/credential", body, wait_s=45)
        _show(answer.json(), as_json=as_json)
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def drain(name: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Make no new credentials in a target; those there are end as they would."""
    return _send("POST", name, "/drain", profile=profile, as_json=as_json)


@app.command
def rm(name: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Remove a target in which nothing is left."""
    return _send("DELETE", name, "", profile=profile, as_json=as_json)


@app.command
def preflight(name: str, /, *, profile: Profile = None, as_json: AsJson = False) -> int:
    """Make a canary, use it, cut it, prove it dead; says what is missing."""

    def work() -> int:
        answer = caller_of(profile).ask("POST", f"{_path(name)}/preflight", {}, wait_s=45).json()
        checks = members(answer, "checks")
        if as_json:
            show_json(answer)
        else:
            _show_checks(checks)
        return Exit.OK if all(c.get("ok") is True for c in checks) else Exit.CHECK_FAILED

    return guarded(work, as_json=as_json)


@app.command
def reconcile(
    name: str | None = None,
    /,
    *,
    all_targets: Annotated[
        bool, Parameter(name="--all", negative="", help="Every target, and the sessions that wait.")
    ] = False,
    apply: Annotated[bool, Parameter(negative="", help="After a restore: let things go on.")] = False,
    destroy_unknown: Annotated[
        bool, Parameter(negative="", help="With --apply: destroy what nothing on record accounts for.")
    ] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Compare what a target holds with what we know; changes nothing without --apply."""

    def work() -> int:
        caller = caller_of(profile)
        found = [
            _reconcile(caller, one, apply=apply, destroy_unknown=destroy_unknown)
            for one in _named(caller, name, all_targets=all_targets)
        ]
        if all_targets:
            found.append(_sessions(caller, apply=apply))
        for answer in found:
            _show(answer, as_json=as_json)
        return Exit.CHECK_FAILED if any(_differs(answer) for answer in found) else Exit.OK

    return guarded(work, as_json=as_json)


def _named(caller: ClientCaller, name: str | None, *, all_targets: bool) -> tuple[str, ...]:
    if (name is None) is not all_targets:
        raise Invalid("usage_target", "expected the name of a target, or `--all`")
    if name is not None:
        return (name,)
    listed = members(caller.ask("GET", "/v1/targets").json(), "targets")
    return tuple(text(one, "name") for one in listed if one.get("state") != "removed")


def _reconcile(caller: ClientCaller, name: str, *, apply: bool, destroy_unknown: bool) -> Json:
    path = f"{_path(name)}/reconcile"
    if not apply and not destroy_unknown:
        return {"target": name, **caller.ask("GET", path, wait_s=45).json()}
    body = {"apply": apply, "destroy_unknown": destroy_unknown}
    return {"target": name, **caller.ask("POST", path, body, wait_s=45).json()}


def _sessions(caller: ClientCaller, *, apply: bool) -> Json:
    """The sessions that wait since a restore."""
    return (caller.ask("POST", "/v1/reconcile", {}) if apply else caller.ask("GET", "/v1/reconcile")).json()


def _differs(answer: Json) -> bool:
    """Whether something is left to look at: unknown and not seen gone, missing, or waiting."""
    if "sessions" in answer:
        return bool(answer["sessions"])
    gone = {one.get("handle") for one in members(answer, "destroyed") if one.get("presence") == "absent"}
    unknown = {one.get("handle") for one in members(answer, "unknown")}
    return bool(unknown - gone or answer.get("missing") or answer.get("waiting"))


def _send(method: str, name: str, rest: str, *, profile: str | None, as_json: bool) -> int:
    def work() -> int:
        body: Json | None = {} if method == "POST" else None
        _show(caller_of(profile).ask(method, _path(name) + rest, body).json(), as_json=as_json)
        return Exit.OK

    return guarded(work, as_json=as_json)


def _path(name: str) -> str:
    return f"/v1/targets/{name_in_path(name)}"


def _show(answer: Json, *, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    show_pairs(answer.items())


def _show_checks(checks: tuple[Json, ...]) -> None:
    for check in checks:
        mark = "\N{CHECK MARK}" if check.get("ok") is True else "\N{BALLOT X}"
        name, detail = printable(check.get("name")), printable(check.get("detail"))
        print(f"{mark} {name:<28} {_took(check):>8}  {detail}")
        if check.get("ok") is not True and check.get("mend"):
            print(f"  mend: {printable(check['mend'])}")


def _took(check: Json) -> str:
    took_ms = check.get("took_ms")
    return f"{took_ms:.0f} ms" if isinstance(took_ms, int | float) else "-"
