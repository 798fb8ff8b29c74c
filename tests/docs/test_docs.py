"""The documentation is true: links lead somewhere, commands run, named tests exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.architecture.tree import ROOT
from tests.docs.pages import blocks, broken_links, linked, pages

RUNNABLE = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in pages()
    for number, block in enumerate(blocks(page.read_text("utf-8")), 1)
]
# Pages whose tables say which test holds a promise: a file, a file and a test, or `planned`.
PROMISING = ("docs/threat-model.md", "spec/invariants.md")
_TEST = re.compile(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`")


def run(block: list[tuple[str, int]], folder: Path) -> None:
    """Run the commands of one block in `folder`, with a home of its own."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "share"),
    }
    for line, code in block:
        answer = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env={**os.environ, **home, "PATH": tools},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert answer.returncode == code, f"`{line}` ended {answer.returncode}, not {code}\n{answer.stderr}"


@pytest.mark.parametrize("block", RUNNABLE)
def test_a_shown_command_runs(block: list[tuple[str, int]], tmp_path: Path) -> None:
    run(block, tmp_path)


def test_no_link_is_broken() -> None:
    assert [fault for page in pages() for fault in broken_links(page)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    waiting = list(reached)
    while waiting:
        page = waiting.pop()
        fresh = {p for p in linked(page) if p.suffix == ".md"} - reached
        reached |= fresh
        waiting += fresh

    assert {str(p.relative_to(ROOT)) for p in pages() if p not in reached} == set()


def missing_tests(text: str, root: Path) -> list[str]:
    """Rows of tables whose last cell names neither a test that exists nor `planned`."""
    missing = []
    for row in text.splitlines():
        if not row.startswith("|") or row.startswith(("|-", "|--", "| ---")):
            continue
        last = row.rstrip().rstrip("|").rpartition("|")[2].strip()
        if last in ("test", "tests", "checked by", "meaning") or last.startswith("planned"):
            continue
        named = _TEST.findall(last)
        if not named or not all(_exists(root / path, name) for path, name in named):
            missing.append(row)
    return missing


def _exists(path: Path, name: str) -> bool:
    if not name:
        return path.exists()
    return path.is_file() and re.search(rf"def {name}\b", path.read_text("utf-8")) is not None


@pytest.mark.parametrize("page", PROMISING)
def test_every_promise_names_a_test_or_is_marked_planned(page: str) -> None:
    assert missing_tests((ROOT / page).read_text("utf-8"), ROOT) == []


def test_a_promise_without_a_test_is_found(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("def test_one() -> None: ...")
    good = "| a | test |\n|---|---|\n| x | `tests/test_a.py::test_one` |\n| y | planned |\n"
    bad = "| x | `tests/test_a.py::test_two` |\n| y | `tests/test_b.py` |\n| z | surely |\n"

    found = missing_tests(good + bad, tmp_path)

    assert found == bad.splitlines()


def test_a_broken_link_and_a_missing_file_are_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("[here](a.md#top) [gone](b.md) `src/gone.py`\n```\n[not a link](c.md)\n```\n")

    assert list(broken_links(page, tmp_path)) == ["a.md: link to `b.md`", "a.md: names `src/gone.py`"]


def test_only_blocks_marked_to_run_are_run_and_their_exit_codes_count(tmp_path: Path) -> None:
    text = "```console\n$ false\n```\n```console run\n$ true\nout\n$ exit 3  # exit 3\n```\n"

    found = blocks(text)

    assert found == [[("true", 0), ("exit 3", 3)]]
    run(found[0], tmp_path)
    with pytest.raises(AssertionError, match="ended 1, not 0"):
        run([("false", 0)], tmp_path)


def test_every_dependency_says_why_it_is_there() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    wanted = [*project["project"]["dependencies"], *(d for group in (*extras, *groups) for d in group)]
    names = {re.split(r"[\[<>=;~! ]", requirement)[0] for requirement in wanted}
    page = (ROOT / "docs/decisions/dependencies.md").read_text("utf-8")

    assert {name for name in names if f"| `{name}` |" not in page} == set()
