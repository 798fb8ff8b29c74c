"""The tree is tidy; and each tidy rule catches what it was written for."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.architecture import tidy
from tests.architecture.tidy import RULES, Rule
from tests.architecture.tree import ROOT, Finding, Source, forget, imported, source, sources, tracked

SRC: Final = "src/sojourn/services/thing.py"
TEST: Final = "tests/services/test_thing.py"
LONG: Final = "def long():\n" + "    x = 1\n" * 51

# Modules that nothing imports, because they are where a program or a tool comes in.
ENTRY_POINTS: Final = {"sojourn.cli.main", "sojourn.__main__", "sojourn.adapters.migrations.env"}
ENTRY_FOLDERS: Final = ("sojourn.adapters.migrations.versions.",)

# Written before what will import them. Empty this set as they are taken up.
AWAITED: Final[set[str]] = {
    "sojourn.catalog",
    "sojourn.config",
    "sojourn.core.deadlines",
    "sojourn.core.token",
    "sojourn.ports.attestor",
    "sojourn.ports.clock",
    "sojourn.ports.feed",
    "sojourn.ports.keys",
    "sojourn.ports.store",
}

_SLASH: Final = "/"
MACHINE: Final = re.compile(
    # Assembled, so that this file does not hold what it looks for.
    rf"(?<![\w.$}}]){_SLASH}(?:work|root|home|Users){_SLASH}[\w.]|bash_" r"jobs"
    r"|files\.python" r"hosted\.org|py" r"pi\.org/simple|registry\.npm" r"js\.org|proxy\.go" r"lang\.org"
)  # fmt: skip

PLANTED: Final[list[tuple[Rule, str, str]]] = [
    (tidy.file_is_short, SRC, "x = 1\n" * 401),
    (tidy.functions_are_short, SRC, LONG),
    (tidy.parameters_are_few, SRC, "def f(a, b, c, d, e): ..."),
    (tidy.parameters_are_few, SRC, "class A:\n    def f(self, a, b, /, c, d, e): ..."),
    (tidy.names_say_something, SRC, "class SessionManager: ..."),
    (tidy.names_say_something, SRC, "def handle_request(): ..."),
    (tidy.names_say_something, SRC, "def process_errand(): ..."),
    (tidy.names_say_something, SRC, "def get_session_info(): ..."),
    (tidy.names_say_something, "src/sojourn/core/utils.py", "x = 1"),
    (tidy.nothing_dangerous_is_called, SRC, "eval('1')"),
    (tidy.nothing_dangerous_is_called, TEST, "import yaml\nyaml.load('')"),
    (tidy.nothing_dangerous_is_called, SRC, "import pickle\npickle.loads(b'')"),
    (tidy.time_comes_from_a_clock, SRC, "import time\ntime.time()"),
    (tidy.time_comes_from_a_clock, SRC, "from datetime import UTC, datetime\ndatetime.now(UTC)"),
    (tidy.tests_do_not_sleep, TEST, "import time\ndef test_a():\n    time.sleep(1)"),
    (tidy.tests_do_not_sleep, TEST, "import anyio\nasync def test_a():\n    await anyio.sleep(0.1)"),
    (tidy.excepts_are_narrow, SRC, "try:\n    f()\nexcept Exception:\n    pass"),
    (tidy.excepts_are_narrow, SRC, "try:\n    f()\nexcept (ValueError, BaseException) as e:\n    log(e)"),
    (tidy.excepts_are_narrow, TEST, "try:\n    f()\nexcept:\n    pass"),
    (tidy.to_dos_are_numbered, SRC, "x = 1  # TODO mend this"),
    (tidy.nothing_is_mocked, TEST, "from unittest import mock"),
    (tidy.nothing_is_mocked, TEST, "import unittest.mock"),
    (tidy.missing_things_are_told, TEST, "import pytest\npytest.skip('no server')"),
    (
        tidy.missing_things_are_told,
        TEST,
        "import pytest\n@pytest.mark.skipif(True, reason='')\ndef test_a(): ...",
    ),
    (tidy.packages_only_re_export, "src/sojourn/core/__init__.py", "print('work at import')"),
    (tidy.packages_only_re_export, "src/sojourn/core/__init__.py", "def f(): ..."),
    (tidy.modules_say_what_they_know, SRC, "x = 1"),
]
WELCOME: Final[list[tuple[Rule, str, str]]] = [
    (tidy.file_is_short, SRC, "x = 1\n" * 400),
    (tidy.functions_are_short, SRC, 'def f():\n    """' + "\n" * 60 + '    """\n    return 1'),
    (tidy.parameters_are_few, SRC, "def f(self, a, b, c, d, *, e): ..."),
    (
        tidy.names_say_something,
        SRC,
        "import subprocess\ndef metadata(): ...\nclass Handle: ...\ndef handle(): ...",
    ),
    (tidy.names_say_something, TEST, "def test_a_second_process_is_refused(): ..."),
    (tidy.time_comes_from_a_clock, "src/sojourn/adapters/system_clock.py", "import time\ntime.time()"),
    (tidy.tests_do_not_sleep, TEST, "import time\nwhile not there():\n    time.sleep(0.01)"),
    (tidy.tests_do_not_sleep, TEST, "import asyncio\nasync def test_a():\n    await asyncio.sleep(0)"),
    (tidy.excepts_are_narrow, SRC, "try:\n    f()\nexcept BaseException:\n    tidy_up()\n    raise"),
    (tidy.excepts_are_narrow, "src/sojourn/worker.py", "try:\n    f()\nexcept Exception:\n    count()"),
    (tidy.to_dos_are_numbered, SRC, "x = 1  # TODO #12: mend this"),
    (tidy.packages_only_re_export, "src/sojourn/core/__init__.py", '"""Doc."""\nimport os\n__all__ = ["os"]'),
    (tidy.modules_say_what_they_know, "src/sojourn/core/__init__.py", ""),
]


def _told(findings: Iterable[Finding]) -> str:
    return "\n".join(map(str, findings))


@pytest.fixture(scope="module", autouse=True)
def _forgetting() -> Iterator[None]:
    yield
    forget()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps(rule: Rule) -> None:
    findings = [finding for file in sources() for finding in rule(file)]

    assert not findings, _told(findings)


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_violation_is_caught(rule: Rule, path: str, text: str) -> None:
    assert list(rule(source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), WELCOME, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_allowed_is_let_alone(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(source(path, text)))


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def dead_modules(files: Iterable[Source]) -> list[str]:
    """Modules of the package that no file imports or names in a string, and nothing enters by."""
    known = list(files)
    wanted: set[str] = set()
    for file in known:
        own = _module(file.path)
        names = {name for _, name in imported(file.tree)} | set(re.findall(r"sojourn(?:\.\w+)+", file.text))
        wanted |= names - {own}
    package = [_module(f.path) for f in known if f.in_package and not f.path.endswith("__init__.py")]
    return [
        name
        for name in package
        if name not in wanted and name not in ENTRY_POINTS and not name.startswith(ENTRY_FOLDERS)
    ]


def _module(path: str) -> str:
    return path.removeprefix("src/").removesuffix(".py").replace("/", ".")


def test_no_module_is_dead() -> None:
    assert set(dead_modules(sources())) <= AWAITED


def test_a_dead_module_is_found_and_a_lazy_one_is_not() -> None:
    dead = source("src/sojourn/core/alone.py", "x = 1")
    lazy = source("src/sojourn/core/lazy.py", "x = 1")
    main = source("src/sojourn/cli/main.py", "COMMANDS = {'a': 'sojourn.core.lazy:x'}")

    assert dead_modules([dead, lazy, main]) == ["sojourn.core.alone"]


def machine_traces(paths: Iterable[Path]) -> list[Finding]:
    """Places where a tracked text file names a path of some machine, or the host of a registry."""
    found = []
    for path in paths:
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            Finding(path.name, n, line[:100]) for n, line in enumerate(lines, 1) if MACHINE.search(line)
        ]
    return found


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    assert not (found := machine_traces(tracked())), _told(found)


@pytest.mark.parametrize(
    "line",
    ["cd /" + "work/sojourn", "open('/" + "root/.cache')", "https://py" + "pi.org/simple/x", "/" + "home/a"],
)
def test_a_machine_path_or_a_registry_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.txt").write_text(textwrap.dedent(f"fine\n{line}\n"))

    assert [finding.line for finding in machine_traces([tmp_path / "a.txt"])] == [2]


def test_the_tree_is_really_read() -> None:
    assert any(file.path == "src/sojourn/core/errors.py" for file in sources())
    assert ROOT / "pyproject.toml" in tracked()
