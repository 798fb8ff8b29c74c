"""What `sojourn policy check` looks at: files alone, or files and charters with a server's knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from sojourn.cli import policy_files as files
from sojourn.client.caller import ClientCaller
from sojourn.client.jsonfacts import Json, members
from sojourn.core import lint
from sojourn.core.charter import Charter
from sojourn.core.errors import Invalid
from sojourn.core.ids import CharterId
from sojourn.core.lint import Finding, Known, Weight

_MOST_PAGES: Final = 20


def check_files(paths: Sequence[Path]) -> list[Finding]:
    """Findings on the policies and charters in these files."""
    sorted_out = files.sort_out(paths)
    charters, broken = _read(sorted_out.charters)
    return [*broken, *_judge(files.text_of(sorted_out.policies), charters, Known())]


def check_server(caller: ClientCaller, paths: Sequence[Path]) -> list[Finding]:
    """Findings on these files, or without any on what is in force, with what the server knows."""
    sorted_out = files.sort_out(paths)
    charters, broken = _read(sorted_out.charters)
    if not sorted_out.charters:
        charters = _charters_of(caller)
    text = files.text_of(sorted_out.policies) if sorted_out.policies else _policies_of(caller)
    return [*broken, *_judge(text, charters, _known(caller, charters))]


def _read(paths: Sequence[Path]) -> tuple[list[Charter], list[Finding]]:
    charters: list[Charter] = []
    broken: list[Finding] = []
    for path in paths:
        try:
            charters += files.read_charters([path])
        except Invalid as error:
            broken.append(lint.found("not-valid", Weight.ERROR, str(path), error.message))
    return charters, broken


def _judge(text: str, charters: Sequence[Charter], known: Known) -> list[Finding]:
    found = [one for charter in charters for one in lint.of_charter(charter, known)]
    try:
        policies = files.load(text)
    except Invalid as error:
        if error.code != "bad_policy":
            raise
        return [*found, lint.found("not-valid", Weight.ERROR, "policies", error.message)]
    from sojourn.adapters import cedar_lint

    found += cedar_lint.of_policies(policies, charters)
    found += cedar_lint.of_charters(policies, charters)
    return found


def _charters_of(caller: ClientCaller) -> list[Charter]:
    """The newest version of each charter."""
    from sojourn.services._charter_document import read_charter

    newest: dict[str, Charter] = {}
    for shown in members(caller.ask("GET", "/v1/charters").json(), "charters"):
        document = files.read_shown(shown)
        number, at = int(str(shown.get("number"))), datetime.fromisoformat(str(shown.get("applied_at")))
        charter = read_charter(document, CharterId("cha_shown"), number=number, by="server", now=at)
        if charter.name not in newest or newest[charter.name].number < number:
            newest[charter.name] = charter
    return list(newest.values())


def _policies_of(caller: ClientCaller) -> str:
    from sojourn.core.errors import NotFound
    from sojourn.core.policy import DEFAULT

    try:
        return str(caller.ask("GET", "/v1/policies").json().get("text"))
    except NotFound:
        return DEFAULT


def _known(caller: ClientCaller, charters: Sequence[Charter]) -> Known:
    targets = members(caller.ask("GET", "/v1/targets").json(), "targets")
    clients = members(caller.ask("GET", "/v1/clients").json(), "clients")
    return Known(
        classes={str(one.get("name")): str(one.get("revocation_class")) for one in targets},
        owners={str(one.get("owner")) for one in clients if one.get("removed_at") is None},
        durations={charter.name: _lived(caller, charter) for charter in charters},
    )


def _lived(caller: ClientCaller, charter: Charter) -> list[timedelta]:
    """How long the ended sessions of this charter version lasted, newest pages not preferred."""
    lived: list[timedelta] = []
    after: object = None
    for _ in range(_MOST_PAGES):
        which = {"state": "ended", "charter": charter.label} | ({"after": str(after)} if after else {})
        page = caller.ask("GET", f"/v1/sessions?{urlencode(which)}").json()
        lived += [span for one in members(page, "sessions") if (span := _span(one)) is not None]
        after = page.get("next")
        if not after:
            break
    return lived


def _span(session: Json) -> timedelta | None:
    began, over = session.get("requested_at"), session.get("refused_at")
    if not (isinstance(began, str) and isinstance(over, str)):
        return None
    return datetime.fromisoformat(over) - datetime.fromisoformat(began)
