"""Nothing that people meet is missing from its page: packages, commands, members, exit codes."""

from __future__ import annotations

import dataclasses
import re

from tests.architecture.tree import ROOT

from sojourn.cli.exits import Exit
from sojourn.cli.run_options import run_parser
from sojourn.cli.table import build
from sojourn.faces.http.charter_schemas import published
from sojourn.guard import problems as guard_problems
from sojourn.providers.postgresql.config import Config
from sojourn.services import _charter_document

PACKAGE = ROOT / "src" / "sojourn"


def page(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def lacking(text: str, names: set[str]) -> set[str]:
    """The names that no code span of `text` mentions."""
    spans = " ".join(re.findall(r"`([^`]+)`", text))
    words = set(re.findall(r"[\w./-]+", spans))
    return {name for name in names if name not in words}


def test_the_architecture_names_every_package_and_module() -> None:
    names = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()}
    names |= {p.stem for p in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    tree = page("ARCHITECTURE.md").partition("## The tree")[2].replace("faces/http", "faces")

    assert lacking(tree, names) == set()


def test_the_reference_names_every_command() -> None:
    names = {str(name) for name in build() if not str(name).startswith("-")}

    assert lacking(page("docs/reference/cli.md"), names) == set()


def test_the_reference_or_the_guide_names_every_option_of_run() -> None:
    options = {option for action in run_parser()._actions for option in action.option_strings}
    text = page("docs/reference/cli.md") + page("docs/guides/wrap-a-command.md")

    assert lacking(text, options - {"-h", "--help"}) == set()


def test_the_reference_has_every_exit_code() -> None:
    listed = set(re.findall(r"^\| (\d+)", page("docs/reference/cli.md"), re.MULTILINE))

    assert {str(int(code)) for code in Exit} <= listed


def test_the_page_of_charters_has_every_member() -> None:
    schema = published()
    parts = (schema, *schema["$defs"].values())
    names = {name for part in parts for name in part["properties"]}

    assert names >= _charter_document.MEMBERS
    assert lacking(page("docs/reference/charter.md"), names) == set()


def test_the_page_of_postgresql_has_every_member() -> None:
    names = {field.name for field in dataclasses.fields(Config)}

    assert lacking(page("docs/reference/providers/postgresql.md"), names) == set()


def test_the_page_of_the_guard_has_every_status() -> None:
    text = page("docs/reference/guard.md")

    assert all(f"| {status} |" in text for status in guard_problems._TITLES)


def test_a_missing_name_is_found() -> None:
    assert lacking("`one` two `three/four`", {"one", "two"}) == {"two"}
