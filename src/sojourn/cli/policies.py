"""`sojourn policy …`: what may be refused beyond charters; checked, tested, applied, explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from sojourn.cli import policy_files as files
from sojourn.cli.calling import caller_of, guarded, name_in_path
from sojourn.cli.documents import read_document
from sojourn.cli.exits import Exit
from sojourn.cli.manage import AsJson, Profile
from sojourn.cli.output import printable, show_json, show_table
from sojourn.cli.policy_check import check_files, check_server
from sojourn.client.jsonfacts import Json, members
from sojourn.core.policy import DEFAULT

app = App(name="policy", help="What is refused beyond charters.")
Files = Annotated[list[Path], Parameter(help="Files, or folders that stand for all files in them.")]

_SESSION: Final = "ses_"


@app.command
def apply(*paths: Path, profile: Profile = None, as_json: AsJson = False) -> int:
    """Put the policies of these files in force, as one set."""

    def work() -> int:
        text = files.text_of(files.sort_out(paths).policies)
        answer = caller_of(profile).ask("PUT", "/v1/policies", {"text": text}).json()
        if as_json:
            show_json(answer)
            return Exit.OK
        changed = "is new" if answer.get("changed") is True else "was there already"
        print(f"policy set {answer.get('number')} {changed}")
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def show(*, shipped: bool = False, profile: Profile = None, as_json: AsJson = False) -> int:
    """Show the policies that were applied last; `--shipped`: those in force until then."""

    def work() -> int:
        if shipped:
            answer: Json = {"number": 0, "text": DEFAULT}
        else:
            answer = caller_of(profile).ask("GET", "/v1/policies").json()
        if as_json:
            show_json(answer)
            return Exit.OK
        print(f"// policy set {printable(answer.get('number'))}")
        print("\n".join(printable(line) for line in str(answer.get("text")).splitlines()))
        return Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def check(
    *paths: Path, server: bool = False, strict: bool = False, profile: Profile = None, as_json: AsJson = False
) -> int:
    """Say what should be mended in charters and policies; `--server` also asks what is known there."""

    def work() -> int:
        found = check_server(caller_of(profile), paths) if server else check_files(paths)
        failed = any(strict or one.weight == "error" for one in found)
        if as_json:
            shown = [
                {"rule": f.rule, "weight": f.weight, "where": f.where, "says": f.says, "cites": f.cites}
                for f in found
            ]
            show_json({"findings": shown, "ok": not failed})
        else:
            heads = ("WEIGHT", "RULE", "WHERE", "WHAT", "CONTROLS")
            show_table(heads, ((f.weight, f.rule, f.where, f.says, " ".join(f.cites)) for f in found))
        return Exit.CHECK_FAILED if failed else Exit.OK

    return guarded(work, as_json=as_json)


@app.command(name="test")
def try_cases(*paths: Path, as_json: AsJson = False) -> int:
    """Ask the policies of these files the questions in their tables (`*.test.yaml`)."""

    def work() -> int:
        sorted_out = files.sort_out(paths)
        policies = files.load(files.text_of(sorted_out.policies))
        failures: list[str] = []
        count = 0
        for case in (case for table in sorted_out.cases for case in files.read_cases(table)):
            count += 1
            verdict = policies.judge(case.question)
            by = frozenset(verdict.policies)
            if verdict.allowed != case.allowed or case.by not in (None, by):
                said = "allow" if verdict.allowed else "deny"
                failures.append(f"{case.name}: {said} by {', '.join(sorted(by)) or 'no policy'}")
        if as_json:
            show_json({"cases": count, "failures": failures})
        else:
            print("\n".join([*(f"FAILED {printable(one)}" for one in failures), f"{count} cases"]))
        return Exit.CHECK_FAILED if failures or not count else Exit.OK

    return guarded(work, as_json=as_json)


@app.command
def explain(
    what: str, /, *, policies: Path | None = None, profile: Profile = None, as_json: AsJson = False
) -> int:
    """Say which rule decides about a session, or about the question in a file, and on which facts."""

    def work() -> int:
        answers, about = _answers(what, policies, profile)
        if as_json:
            show_json({**about, "answers": answers})
            return Exit.OK
        for name, value in about.items():
            if value is not None:
                print(f"{name}: {printable(_said(value))}")
        for answer in answers:
            print("\n".join(_told(answer)))
        return Exit.OK

    return guarded(work, as_json=as_json)


def _answers(what: str, policies: Path | None, profile: str | None) -> tuple[Sequence[Json], Json]:
    if what.startswith(_SESSION):
        path = f"/v1/sessions/{name_in_path(what)}/explanation"
        found = caller_of(profile).ask("GET", path).json()
        return members(found, "answers"), {name: one for name, one in found.items() if name != "answers"}
    question = files.read_question(read_document(Path(what)), what)
    if policies is None:
        body = {
            "action": question.action.value,
            "who": {"name": question.who.name, "members": _plain(question.who.members)},
            "about": {"name": question.about.name, "members": _plain(question.about.members)},
            "facts": _plain(question.facts),
        }
        return [caller_of(profile).ask("POST", "/v1/policies/explain", body).json()], {}
    from sojourn.services.explain_policy import explained

    loaded = files.load(files.text_of(files.sort_out([policies]).policies))
    return [explained(loaded, question)], {}


def _said(value: object) -> object:
    """An object or a list in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items() if one is not None)
    return " ".join(str(_said(one)) for one in value) if isinstance(value, list) else value


def _told(answer: Json) -> list[str]:
    on = answer.get("on")
    narrowed = " ".join(str(one) for one in on.values()) if isinstance(on, Mapping) else ""
    word = "allowed" if answer.get("allowed") is True else "refused"
    head = f"{word}: {answer.get('action')} {narrowed}".rstrip()
    lines = [printable(f"{head} by {answer.get('who')}, {answer.get('about')}: {answer.get('why')}")]
    facts = answer.get("facts")
    if isinstance(facts, Mapping):
        lines += [f"  {printable(name)} = {printable(value)}" for name, value in facts.items()]
    for policy in members(answer, "policies"):
        lines += [f"  | {printable(line)}" for line in str(policy.get("text")).splitlines()]
    return lines


def _plain(values: Mapping[str, object]) -> Json:
    return {name: sorted(one) if isinstance(one, frozenset) else one for name, one in values.items()}
