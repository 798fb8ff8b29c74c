"""The reference pages that are made from the code: settings, facts, states, reasons and ids.

Only what a reader cannot see in the code is said here; a member without a word is an error.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.architecture.tree import ROOT
from tests.docs import attestor_tables, policy_page
from tests.docs.state_diagrams import diagrams

from sojourn import config
from sojourn.adapters.cedar_schema import schema_text
from sojourn.core import ending, ids
from sojourn.core.deadlines import DEADLINES
from sojourn.core.ending import Reason
from sojourn.core.record import FactKind
from sojourn.faces.http import serving_file

CORE: Final = ROOT / "src" / "sojourn" / "core"
MADE: Final = "This page is made from the code by `scripts/reference`."

_SERVING: Final[Mapping[str, str]] = {
    "issuer": "the public address, byte for byte as tokens carry it; without a slash at its end",
    "state": "the folder for keys, deployment id, invitation and SQLite file; made with mode 0700",
    "listen": "`HOST:PORT`; beyond loopback only with `certificate` and `key`",
    "certificate": "a PEM file with the TLS certificate",
    "key": "a PEM file with its key",
    "issuers": "tables of [issuers](../guides/federate-a-workload.md): private addresses, CA, where to ask",
    "trust_domains": "tables of [SPIFFE trust domains](attestors/spiffe.md): endpoint, profile, bundle",
    "hook_hosts": "tables of [hosts of hooks](../guides/answer-from-a-chat.md): private addresses, CA",
    "client_authorities": "a PEM file of authorities; with it, callers may show a certificate (RFC 8705)",
    "client_cert_proxies": "addresses of proxies whose `Client-Cert` header (RFC 9440) is believed",
    "signer": "the socket of `sojourn signer`; without it, signing keys are opened in the server's process",
    "dpop_nonce": "whether proofs must carry a nonce of the server (RFC 9449, section 8); our clients do",
    "database_dsn_file": "a file with the DSN of PostgreSQL as store; without it, SQLite in `state`",
}
_WHY: Final[Mapping[str, str]] = {
    "token_life": "of access tokens; each beat brings fresh ones",
    "activate_within": "how long an approved session waits for its workload",
}
_REASONS: Final[Mapping[Reason, str]] = {
    Reason.WINDOW_CLOSED: "the window closed",
    Reason.MISSED_BEAT: "the workload was not heard for `missed_after`",
    Reason.CONTEXT_CHANGED: "a pinned fact of the execution context was seen to differ",
    Reason.PARENT_ENDED: "a session it descends from ended",
}
_IDS: Final[Mapping[str, str]] = {
    "SESSION": "session",
    "LEASE": "lease",
    "CLIENT": "client: workload, guard or operator",
    "TARGET": "target",
    "OWNER": "owner; none is made yet: owners are the names that people give",
    "CHARTER": "charter",
    "ERRAND": "errand",
    "KILL": "kill order",
    "APPROVAL": "request for approval",
    "TRIGGER": "trigger",
    "HOOK": "hook",
    "POLICY": "policy set",
    "REVIEW": "review of a break-glass session",
}
_DEADLINES: Final[Mapping[Reason, str]] = {
    Reason.NOT_ACTIVATED: "`activate_by` passes while the session is `requested` or `approved`",
    Reason.WINDOW_CLOSED: "the window closes, whatever the state",
}


def pages() -> Mapping[Path, str]:
    """Every such page with its text as it should be."""
    folder = ROOT / "docs" / "reference"
    made = {"configuration": _configuration, "facts": _facts, "states": _states, "reasons": _reasons}
    made |= {"ids-and-times": _ids, "policy": policy_page.page}
    written = {folder / f"{name}.md": page() for name, page in made.items()}
    return {**written, folder / "sojourn.cedarschema": schema_text(), **attestor_tables.pages()}


def _configuration() -> str:
    assert _SERVING.keys() == serving_file._KNOWN
    rows = [f"| `{name}` | {meaning} |" for name, meaning in _SERVING.items()]
    settings = [f"| `{name}` | {default} | {why} |" for name, default, why in _settings()]
    return _page(
        "Configuration",
        f"""{MADE}
Nothing secret stands in the file; secrets have files of their own.

## The file of `sojourn serve`

TOML, strictly: an unknown member is refused by name.
`sojourn dev` needs no file: it listens on 127.0.0.1 and keeps SQLite in its `--state` folder.

| member | meaning |
|---|---|
{_lines(rows)}

## Settings of the program

`issuer` and `deployment` come from the file and the folder.
The others have the values below and no file or variable changes them yet.

| setting | default | why |
|---|---|---|
{_lines(settings)}

Targets have members of their own: [PostgreSQL](providers/postgresql.md).
Where commands look for profiles: [the command line](cli.md).
""",
    )


def _settings() -> Iterator[tuple[str, str, str]]:
    comments = _comments(Path(config.__file__))
    for field in dataclasses.fields(config.Settings):
        default = "required" if field.default is dataclasses.MISSING else f"`{_shown(field.default)}`"
        yield field.name, default, comments.get(field.name) or _WHY[field.name]


def _shown(value: object) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    seconds = value.total_seconds()
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _facts() -> str:
    written = _writers()
    rows = [f"| `{kind}` | `{written[kind][0]}` | {written[kind][1]} |" for kind in FactKind]
    return _page(
        "Facts",
        f"""{MADE}
A [fact](../glossary.md) is something that happened, recorded in the commit that made it so.
It holds the members of the row that changed, so replaying all facts rebuilds the state tables.
The set is closed: a journal with another kind is not ours.
How a fact looks as a leaf: [evidence bundle](evidence-bundle.md).

| fact | written by | which says |
|---|---|---|
{_lines(rows)}
""",
    )


def _writers() -> Mapping[FactKind, tuple[str, str]]:
    """For each kind the transition that writes it, with the first line of its docstring."""
    found: dict[FactKind, tuple[str, str]] = {}
    for path in sorted(CORE.glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "FactKind":
                    # The last one is the transition of that name; an earlier one passes through it.
                    found[FactKind[inner.attr]] = (f"core/{path.stem}.{node.name}", first)
    return found


def _states() -> str:
    return _page(
        "States",
        f"""{MADE}
Nothing outside these arrows can happen: the core refuses it, and so do triggers in the database.
Words: [session, lease](../glossary.md).

{diagrams()}
""",
    )


def _reasons() -> str:
    comments = _comments(Path(ending.__file__))
    givers = _givers()
    rows = [
        f"| `{reason}` | {comments.get(reason.name) or _REASONS[reason]} | {givers[reason]} |"
        for reason in Reason
    ]
    assert DEADLINES.keys() == _DEADLINES.keys()
    deadlines = [f"| {_DEADLINES[reason]} | `{reason}` |" for reason in DEADLINES]
    return _page(
        "Reasons and deadlines",
        f"""{MADE}
A session ends or is suspended for exactly one [reason](../glossary.md); the first one wins and is kept.
A reason that nothing gives yet waits for what is to come.

| reason | meaning | given by |
|---|---|---|
{_lines(rows)}

## Deadlines

A [deadline](../glossary.md) is an instant at which time alone ends a session; the sweep acts on it.

| when | reason |
|---|---|
{_lines(deadlines)}
| a change window closes that suspends, while `active` | `window_closed`: suspended, not ended |
| no beat for the charter's `missed_after`, while `active` | `missed_beat` |

A missed beat suspends instead of ending where the charter says `suspend_first`.
Deadlines run on while a session is suspended.
After a restart of the server a session gets one `missed_after` from the restart; its window stays as it is.
""",
    )


def _givers() -> Mapping[Reason, str]:
    """For each reason the modules that give it."""
    source = ROOT / "src" / "sojourn"
    found: dict[Reason, list[str]] = {reason: [] for reason in Reason}
    for path in sorted(source.rglob("*.py")):
        given = set(re.findall(r"\bReason\.(\w+)", path.read_text("utf-8")))
        for reason in Reason:
            if reason.name in given:
                found[reason].append(f"`{path.relative_to(source).with_suffix('')}`")
    return {reason: ", ".join(modules) or "nothing yet" for reason, modules in found.items()}


def _ids() -> str:
    prefixes = {name for name, value in vars(ids).items() if name.isupper() and isinstance(value, str)}
    assert _IDS.keys() == prefixes
    rows = [f"| `{getattr(ids, name)}_…` | {meaning} |" for name, meaning in _IDS.items()]
    return _page(
        "Ids and times",
        f"""{MADE}

## Ids

An id is a prefix and {ids._LENGTH} characters: a UUIDv7 in lower-case base32hex (RFC 4648, section 7).
Ids sort by the time they were made, as text and as stored.
There is one spelling of each id; any other is refused with `bad_id`.
An id names a thing and authenticates nobody.

| id | names |
|---|---|
{_lines(rows)}

A [handle](../glossary.md) is `sj_`, the deployment's four characters, `_`, and those of its lease's id.

## Times

Instants are UTC.
The store holds whole microseconds since 1970, JSON holds RFC 3339 with `Z`.
A token's `exp` is rounded down to seconds.
A [window](../glossary.md) is half-open: it holds its first instant and not its last.
The server's clock decides about sessions, the target's own clock about the [issue fence](../glossary.md).
A guard measures its hearing on a clock that runs on while the machine sleeps.
Durations are typed `30s`, `10m`, `2h`, `1d`.
""",
    )


def _comments(path: Path) -> Mapping[str, str]:
    """What the trailing comment says of each name that a line assigns or declares."""
    found = {}
    for line in path.read_text("utf-8").splitlines():
        code, mark, comment = line.partition("  # ")
        if mark:
            found[code.strip().partition(" ")[0].rstrip(":")] = comment.strip()
    return found


def _page(title: str, body: str) -> str:
    return f"# {title}\n\n{body}"


def _lines(rows: list[str]) -> str:
    return "\n".join(rows)


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
