"""`sojourn policy` on files alone: what it finds, what it cites, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.cli.main import dispatch

ALL = '@id("charters-admit")\npermit (principal, action, resource);\n'
CHARTER = """
name: release
owner: team-shop
purpose: put a release into production
clients: [ci]
grants: { stock: { audience: "https://stock.example", actions: [stock.read] } }
duration: { default: 5m, longest: 10m }
"""


def lay(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def found(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    code = dispatch([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def rules_in(answer: Any) -> set[tuple[str, str]]:
    return {(one["rule"], one["weight"]) for one in answer["findings"]}


def test_a_charter_as_it_should_be_is_found_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = found(capsys, "policy", "check", lay(tmp_path, a__yaml=CHARTER, a__cedar=ALL))

    assert (code, answer) == (0, {"findings": [], "ok": True})


@pytest.mark.parametrize(
    ("charter", "rule", "weight", "cited"),
    [
        (CHARTER.replace("longest: 10m", "longest: 9h"), "long-lifetime", "warning", "NHI7:2025"),
        (CHARTER.replace("longest: 10m", "longest: 2h"), "no-idle", "warning", "AC-2(5)"),
        (CHARTER.replace("team-shop", "TODO"), "nobody-owns", "error", "NHI1:2025"),
        (CHARTER.replace("purpose: put a release into production", ""), "no-purpose", "warning", "PR.AA-05"),
        (CHARTER.replace("stock.read", "stock.*"), "wildcard", "error", "ASI03"),
        (CHARTER + "beat: { every: 1m, missed_after: 6m }", "long-silence", "warning", "ASI10"),
        (CHARTER + "approval: { approvers: [ci] }", "unattended-approval", "error", "AC-5"),
        (CHARTER.replace("owner", "ower"), "not-valid", "error", "CM-3"),
        (CHARTER + "phases: [ { name: idle, grants: [] } ]", "unreachable-grant", "warning", "NHI5:2025"),
    ],
)
def test_what_a_careful_reader_would_say_of_a_charter(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    charter: str,
    rule: str,
    weight: str,
    cited: str,
) -> None:
    code, answer = found(capsys, "policy", "check", lay(tmp_path, a__yaml=charter))

    assert (rule, weight) in rules_in(answer)
    assert cited in next(one["cites"] for one in answer["findings"] if one["rule"] == rule)
    assert code == (5 if weight == "error" else 0)


@pytest.mark.parametrize(
    ("longest", "at_least", "rule"),
    [("16m", "D", "weak-class"), ("15m", "D", None), ("16m", None, "class-unstated"), ("16m", "A", None)],
)
def test_what_only_expiry_ends_may_last_a_quarter_of_an_hour(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    longest: str,
    at_least: str | None,
    rule: str | None,
) -> None:
    least = f", at_least: {at_least}" if at_least else ""
    grants = f"grants: {{ shop: {{ target: shop, template: readonly{least} }} }}"
    text = CHARTER.replace("longest: 10m", f"longest: {longest}")
    text = "\n".join(grants if line.startswith("grants:") else line for line in text.splitlines())

    _, answer = found(capsys, "policy", "check", lay(tmp_path, a__yaml=text))

    assert {one["rule"] for one in answer["findings"]} == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("policies", "rule", "weight"),
    [
        ("permit (", "not-valid", "error"),
        ('@id("x") forbid (principal, action, resource);', "no-permit", "error"),
        (
            ALL + '@id("x") forbid (principal, action, resource) when { true };',
            "constant-condition",
            "warning",
        ),
        (
            ALL + '@id("x") forbid (principal, action, resource is Sojourn::Charter)'
            ' when { resource.name like "*" };',
            "wildcard",
            "warning",
        ),
        (
            ALL + '@id("x") forbid (principal, action == Sojourn::Action::"open", resource);'
            '@id("y") permit (principal, action == Sojourn::Action::"open", resource);',
            "unreachable-policy",
            "warning",
        ),
        (
            ALL + '@id("x") forbid (principal == Sojourn::Workload::"nobody",'
            ' action == Sojourn::Action::"open", resource);',
            "unknown-name",
            "warning",
        ),
        (
            ALL + '@id("x") forbid (principal, action == Sojourn::Action::"open", resource)'
            ' when { context.grants.contains("stock") };',
            "unreachable-grant",
            "warning",
        ),
    ],
)
def test_what_a_careful_reader_would_say_of_policies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, policies: str, rule: str, weight: str
) -> None:
    code, answer = found(capsys, "policy", "check", lay(tmp_path, a__yaml=CHARTER, a__cedar=policies))
    strict, _ = found(capsys, "policy", "check", tmp_path, "--strict")

    assert (rule, weight) in rules_in(answer)
    assert code == (5 if weight == "error" else 0)
    assert strict == 5


TABLE = """
cases:
  - { name: right, action: use, who: ci, about: release, facts: { audience: a, action: read }, expect: allow }
  - { name: wrong, action: use, who: ci, about: release, facts: { action: write }, expect: allow }
  - { name: by another, action: use, facts: { action: write }, expect: deny, by: [somebody-else] }
"""
READ_ONLY = ALL + (
    '@id("read-only") forbid (principal, action == Sojourn::Action::"use", resource)'
    ' when { context.action == "write" };'
)


def test_a_table_of_cases_says_which_are_not_as_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, p__cedar=READ_ONLY, p__test__yaml=TABLE)

    code, answer = found(capsys, "policy", "test", tmp_path)

    assert code == 5
    assert answer == {
        "cases": 3,
        "failures": ["wrong: deny by read-only", "by another: deny by read-only"],
    }


@pytest.mark.parametrize(
    "row",
    [
        "{ action: fly, expect: deny }",
        "{ action: use, expect: maybe }",
        "{ action: use, facts: { mood: good }, expect: deny }",
        "{ action: use, facts: { age_s: young }, expect: deny }",
        "{ action: use, surprise: 1, expect: deny }",
        "3",
    ],
)
def test_a_case_that_cannot_be_read_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str
) -> None:
    code, answer = found(capsys, "policy", "test", lay(tmp_path, a__test__yaml=f"cases:\n  - {row}\n"))

    assert code == 1
    assert answer["error"]["code"] == "bad_case"


def test_a_question_in_a_file_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = '{"action": "use", "who": "ci", "about": "release", "facts": {"action": "write"}}'
    lay(tmp_path, q__json=asked, p__cedar=READ_ONLY)

    code, answer = found(capsys, "policy", "explain", tmp_path / "q.json", "--policies", tmp_path / "p.cedar")

    (told,) = answer["answers"]
    assert code == 0
    assert (told["allowed"], told["facts"]) == (False, {"action": "write"})
    assert [one["id"] for one in told["policies"]] == ["read-only"]
    assert told["why"] == "forbidden by `read-only`"
