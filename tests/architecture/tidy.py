"""The tidy rules: each takes one file and yields where the rule does not hold.

A rule that is wrong for one place names that place here, with the reason; there is no comment
that switches a rule off.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from typing import Final

from tests.architecture.tree import Finding, Source, calls, functions, imported, nodes

MOST_LINES: Final = 400
MOST_LINES_OF_A_FUNCTION: Final = 50
MOST_POSITIONAL: Final = 4

Rule = Callable[[Source], Iterator[Finding]]

_BANNED_WORDS: Final = {"manager", "managers", "helper", "helpers", "util", "utils", "data", "info"}
# Names that others chose, and names in which the word is the glossary's or the system's own.
_GIVEN_NAMES: Final = {"data_received", "process_tree", "ProcessTree", "handle_prefix"}
# A transition names its fact, row, time and change in one line; naming each again would hide the change.
_MAY_TAKE_MORE: Final = {
    "src/sojourn/core/record.py": 6,
    "src/sojourn/core/session.py": 5,
    "src/sojourn/core/lease.py": 5,
}
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")

# Who may ask the operating system for the time: one clock for the server, and the edge's own.
_CLOCKS: Final = (
    "src/sojourn/adapters/system_clock.py",
    "src/sojourn/guard/clock.py",
    "src/sojourn/client/clock.py",
    "src/sojourn/cli/",
    "src/sojourn/providers/ssh/on_host.py",  # runs on the target's host: its clock is the target's
)
_WALL: Final = {
    "time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today",
}  # fmt: skip
_NEVER: Final = {
    "eval": "input is never code",
    "exec": "input is never code",
    "pickle.load": "input is never code",
    "pickle.loads": "input is never code",
    "marshal.loads": "input is never code",
    "yaml.load": "use `yaml.safe_load`",
    "yaml.unsafe_load": "use `yaml.safe_load`",
    "os.system": "no shell",
}
_SLEEPS: Final = {"time.sleep", "asyncio.sleep", "anyio.sleep"}
_SKIPS: Final = {"pytest.skip", "pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif"}
# The worker's loop must outlive any one errand: there, and only there, it is logged and counted.
_BROAD_EXCEPT_ALLOWED: Final = {"src/sojourn/worker.py"}


def file_is_short(file: Source) -> Iterator[Finding]:
    """A file has at most 400 lines."""
    lines = file.text.count("\n")
    if lines > MOST_LINES:
        yield Finding(file.path, lines, f"{lines} lines, at most {MOST_LINES}: it holds two concepts")


def functions_are_short(file: Source) -> Iterator[Finding]:
    """A function has at most 50 lines, its docstring not counted."""
    if "/migrations/versions/" in file.path:
        return  # a table as it once was, listed whole
    for function in functions(file.tree):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1 - _docstring_lines(function)
        if lines > MOST_LINES_OF_A_FUNCTION:
            yield Finding(file.path, function.lineno, f"`{function.name}` has {lines} lines, at most 50")


def _docstring_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(function) is None:
        return 0
    first = function.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def parameters_are_few(file: Source) -> Iterator[Finding]:
    """At most four parameters are positional; tests and fixtures are called by pytest, by name."""
    if file.path.startswith("tests/"):
        return
    for function in functions(file.tree):
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        count = len([name for name in names if name not in ("self", "cls")])
        if count > _MAY_TAKE_MORE.get(file.path, MOST_POSITIONAL):
            yield Finding(
                file.path, function.lineno, f"`{function.name}` takes {count} positional parameters"
            )


def names_say_something(file: Source) -> Iterator[Finding]:
    """No module, class or function is named after nothing in particular."""
    stem = file.path.rpartition("/")[2].removesuffix(".py")
    if _is_empty_name(stem) and not file.is_test:
        yield Finding(file.path, 1, f"`{stem}` says nothing: take a word from the glossary")
    for node in nodes(file.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _is_empty_name(
            node.name
        ):
            yield Finding(
                file.path, node.lineno, f"`{node.name}` says nothing: take a word from the glossary"
            )


def _is_empty_name(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    if name in _GIVEN_NAMES or not words or words[0] == "test":
        return False
    if words[0] == "handle" and len(words) > 1 and name[0].islower():
        return True
    return words[0] in ("process", "processor") or not _BANNED_WORDS.isdisjoint(words)


def nothing_dangerous_is_called(file: Source) -> Iterator[Finding]:
    """No eval, pickle, unsafe YAML or shell, anywhere."""
    for call, name in calls(file.tree):
        if name in _NEVER:
            yield Finding(file.path, call.lineno, f"`{name}`: {_NEVER[name]}")


def time_comes_from_a_clock(file: Source) -> Iterator[Finding]:
    """Only a clock asks the operating system what time it is."""
    if not file.in_package or file.path.startswith(_CLOCKS):
        return
    for call, name in calls(file.tree):
        if name in _WALL:
            yield Finding(file.path, call.lineno, f"`{name}`: take a Clock, or `now` as an argument")


def tests_do_not_sleep(file: Source) -> Iterator[Finding]:
    """A test waits for something, in a loop with a deadline; it never sleeps and hopes."""
    if not file.is_test or file.path.startswith("tests/sim/"):
        return  # in the simulation, sleeping moves virtual time
    loops = [node for node in nodes(file.tree) if isinstance(node, ast.While | ast.For | ast.AsyncFor)]
    polled = {id(node) for loop in loops for node in ast.walk(loop)}
    for call, name in calls(file.tree):
        blocking = name == "time.sleep" and id(call) not in polled
        if blocking or (name in _SLEEPS and id(call) not in polled and not _is_zero(call)):
            yield Finding(file.path, call.lineno, f"`{name}` outside a poll: wait for what you expect")


def _is_zero(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def excepts_are_narrow(file: Source) -> Iterator[Finding]:
    """No `except Exception`, unless all it does is clean up and raise again."""
    if file.path in _BROAD_EXCEPT_ALLOWED:
        return
    for node in nodes(file.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node):
            yield Finding(file.path, node.lineno, "a broad `except`: name what can happen")


def _is_broad(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(isinstance(k, ast.Name) and k.id in ("Exception", "BaseException") for k in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def to_dos_are_numbered(file: Source) -> Iterator[Finding]:
    """What is left to do is written down where it will be found again."""
    for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", token.string) and not re.search(r"#\d+", token.string[1:]):
            yield Finding(file.path, token.start[0], "a TODO without the number of its issue")


def nothing_is_mocked(file: Source) -> Iterator[Finding]:
    """Real values and scripted fakes, never `unittest.mock`."""
    for line, name in imported(file.tree):
        if name == "mock" or name.startswith("unittest.mock"):
            yield Finding(file.path, line, "a mock proves only itself: use the real thing or a scripted fake")


def missing_things_are_told(file: Source) -> Iterator[Finding]:
    """A test is skipped through `tests.rig.unavailable` only, which lists it at the end."""
    if not file.path.startswith("tests/") or file.path == "tests/rig/unavailable.py":
        return
    for node in nodes(file.tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in _SKIPS:
                yield Finding(file.path, node.lineno, f"`{name}`: use `tests.rig.unavailable`, which is loud")


def packages_only_re_export(file: Source) -> Iterator[Finding]:
    """An `__init__` file is empty, or a docstring, imports, and dunder names."""
    if not file.path.endswith("/__init__.py"):
        return
    for node in file.tree.body:
        if not _is_re_export(node):
            yield Finding(file.path, node.lineno, "an `__init__` file does no work")


def _is_re_export(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name.startswith("_")
        case ast.FunctionDef(name=name):
            return name in ("__getattr__", "__dir__")  # PEP 562: exports that load on first use
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


def modules_say_what_they_know(file: Source) -> Iterator[Finding]:
    """Every module that holds anything begins with a docstring."""
    if file.tree.body and not ast.get_docstring(file.tree):
        yield Finding(file.path, 1, "no docstring: what does this file know, and refuse to know?")


RULES: Final[tuple[Rule, ...]] = (
    file_is_short,
    functions_are_short,
    parameters_are_few,
    names_say_something,
    nothing_dangerous_is_called,
    time_comes_from_a_clock,
    tests_do_not_sleep,
    excepts_are_narrow,
    to_dos_are_numbered,
    nothing_is_mocked,
    missing_things_are_told,
    packages_only_re_export,
    modules_say_what_they_know,
)
