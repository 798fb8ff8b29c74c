"""Policies, charters and tables of cases as files, read without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sojourn.cli.documents import read_document
from sojourn.client.jsonfacts import Json
from sojourn.core.charter import Charter
from sojourn.core.errors import Invalid
from sojourn.core.ids import CharterId
from sojourn.core.policy import DEFAULT, Action, Party, Question, Value
from sojourn.core.policy_facts import KINDS, MEMBERS, PARTIES, facts_of

if TYPE_CHECKING:
    from sojourn.adapters.cedar_policy import CedarPolicies

CASES: Final = (".test.yaml", ".test.yml", ".test.json")
_DOCUMENTS: Final = frozenset({".yaml", ".yml", ".json"})
_APPLIED: Final = frozenset({"number", "applied_at", "applied_by"})
_CASE: Final = frozenset({"name", "action", "who", "about", "facts", "expect", "by"})


@dataclass(slots=True)
class Files:
    """What was found among the files that somebody named."""

    policies: list[Path] = field(default_factory=list)
    charters: list[Path] = field(default_factory=list)
    cases: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a table: a question and what should come of it."""

    name: str
    question: Question
    allowed: bool
    by: frozenset[str] | None  # the policies that must have decided


def sort_out(paths: Sequence[Path]) -> Files:
    """The files by what they hold; a folder stands for everything in it.

    Raises:
        Invalid: code `local_file`; a path is not there.
    """
    found = Files()
    for path in _each(paths):
        if path.suffix == ".cedar":
            found.policies.append(path)
        elif path.name.endswith(CASES):
            found.cases.append(path)
        elif path.suffix in _DOCUMENTS:
            found.charters.append(path)
    return found


def _each(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        elif path.is_file():
            yield path
        else:
            raise Invalid("local_file", f"`{path}` is neither a file nor a folder")


def text_of(paths: Sequence[Path]) -> str:
    """One policy set out of files, in the order of their names; without any, what is shipped."""
    try:
        return "\n".join(path.read_text("utf-8") for path in sorted(paths)) if paths else DEFAULT
    except UnicodeDecodeError as error:
        raise Invalid("bad_policy", "the policies are not UTF-8") from error


def load(text: str) -> CedarPolicies:
    """A validated set.

    Raises:
        Invalid: code `bad_policy`, or `no_cedar` where the server's libraries are missing.
    """
    try:
        from sojourn.adapters.cedar_policy import CedarEngine
    except ModuleNotFoundError as error:
        raise Invalid("no_cedar", "this installation cannot read Cedar; install `sojourn[server]`") from error
    return CedarEngine().load(text, 0)


def read_charters(paths: Iterable[Path]) -> list[Charter]:
    """The charters in these files.

    Raises:
        Invalid: code `bad_charter` or `bad_document`, naming the file.
    """
    from sojourn.services._charter_document import read_charter

    found = []
    for path in paths:
        document = read_document(path)
        try:
            now = datetime.now(UTC)
            found.append(read_charter(document, CharterId("cha_file"), number=1, by="file", now=now))
        except Invalid as error:
            raise Invalid(error.code, f"{path}: {error.message}") from error
    return found


def read_shown(shown: Json) -> Json:
    """The document of a charter version that a server shows."""
    return {name: one for name, one in shown.items() if name not in _APPLIED}


def written_out(document: Json) -> Json:
    """A charter document with its defaults said, so that two can be compared.

    Raises:
        Invalid: code `bad_charter`.
    """
    from sojourn.faces.http import charter_views
    from sojourn.services._charter_document import read_charter

    made = CharterId("cha_file")
    return charter_views.document(read_charter(document, made, number=1, by="file", now=datetime.now(UTC)))


def read_cases(path: Path) -> list[Case]:
    """The cases of one table.

    Raises:
        Invalid: code `bad_case`.
    """
    document = read_document(path)
    rows = document.get("cases")
    if document.keys() != {"cases"} or not isinstance(rows, list):
        raise Invalid("bad_case", f"{path}: expected one member `cases`, a list")
    return [_case(row, f"{path}, case {place}") for place, row in enumerate(rows, start=1)]


def _case(row: object, where: str) -> Case:
    if not isinstance(row, Mapping):
        raise Invalid("bad_case", f"{where}: expected an object")
    question = read_question(row, where)
    expect, by = row.get("expect"), row.get("by")
    if expect not in ("allow", "deny"):
        raise Invalid("bad_case", f"{where}: expected `expect: allow` or `expect: deny`")
    if by is not None and not (isinstance(by, list) and all(isinstance(one, str) for one in by)):
        raise Invalid("bad_case", f"{where}: expected `by` as a list of ids of policies")
    name = str(row.get("name", where))
    return Case(name, question, expect == "allow", None if by is None else frozenset(by))


def read_question(row: Mapping[str, object], where: str) -> Question:
    """A question as people write it: what is not given is empty, zero or false.

    Raises:
        Invalid: code `bad_case`.
    """
    if odd := sorted(row.keys() - _CASE):
        raise Invalid("bad_case", f"{where}: no member `{odd[0][:40]}`")
    if row.get("action") not in {action.value for action in Action}:
        raise Invalid("bad_case", f"{where}: expected `action` as one of {', '.join(Action)}")
    action = Action(str(row["action"]))
    who, about = PARTIES[action]
    return Question(
        action,
        _party(row.get("who", ""), who, where),
        _party(row.get("about", ""), about, where),
        _filled(row.get("facts", {}), facts_of(action), where),
    )


def _party(given: object, kind: str, where: str) -> Party:
    members = {"name": given} if isinstance(given, str) else given
    filled = _filled(members, {name: of for name, (of, _) in MEMBERS[kind].items()}, where)
    name = str(filled["name"])
    return Party(kind, f"{filled['kind']}/{name}" if "kind" in filled else name, filled)


def _filled(given: object, kinds: Mapping[str, str], where: str) -> dict[str, Value]:
    if not isinstance(given, Mapping):
        raise Invalid("bad_case", f"{where}: expected an object")
    if odd := sorted(str(name) for name in given.keys() - kinds.keys()):
        raise Invalid("bad_case", f"{where}: no fact `{odd[0][:40]}` here; known: {', '.join(kinds)}")
    return {name: _value(given.get(name), kind, f"{where}: `{name}`") for name, kind in kinds.items()}


def _value(given: object, kind: str, where: str) -> Value:
    of = KINDS[kind]
    if given is None:
        return of()  # type: ignore[no-any-return]
    if of is frozenset and isinstance(given, list) and all(isinstance(one, str) for one in given):
        return frozenset(given)
    if type(given) is not of:
        raise Invalid("bad_case", f"{where}: expected {kind}")
    return given  # type: ignore[return-value]
