"""What the architecture tests read: the tracked files, parsed once, and a finding to report.

Knows nothing of any rule; those are in `tidy.py`.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
CODE: Final = ("src", "tests", "scripts", "bench", "spec", "examples")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: where it is, relative to the root, and what it says."""

    path: str
    text: str
    tree: ast.Module

    @property
    def is_test(self) -> bool:
        """Whether pytest collects from it."""
        return self.path.startswith("tests/") and self.path.rpartition("/")[2].startswith("test_")

    @property
    def in_package(self) -> bool:
        """Whether it is shipped."""
        return self.path.startswith("src/")


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a rule does not hold."""

    where: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.what}"


def source(path: str, text: str) -> Source:
    """Parse `text` as if it stood at `path`."""
    return Source(path, text, ast.parse(text, filename=path))


@cache
def sources(root: Path = ROOT) -> tuple[Source, ...]:
    """Every Python file under the folders that hold code; parsed once, until `forget`."""
    return tuple(source(str(path.relative_to(root)), path.read_text("utf-8")) for path in _python_files(root))


def forget() -> None:
    """Let go of every tree: all of them together are slow for the collector of garbage to walk."""
    sources.cache_clear()
    nodes.cache_clear()


def _python_files(root: Path) -> Iterator[Path]:
    for folder in CODE:
        yield from sorted(p for p in (root / folder).rglob("*.py") if "__pycache__" not in p.parts)


def tracked(root: Path = ROOT) -> list[Path]:
    """Every file that is, or is about to be, committed; all files where there is no git."""
    names = _git_names(root)
    if names is None:
        hidden = {".git", ".venv", ".run", "__pycache__"}
        return [p for p in root.rglob("*") if p.is_file() and not _below(p, root, hidden)]
    return [root / name for name in names if (root / name).is_file()]


def _below(path: Path, root: Path, folders: set[str]) -> bool:
    parts = path.relative_to(root).parts
    return any(part in folders or part.endswith("_cache") for part in parts)


def _git_names(root: Path) -> Sequence[str] | None:
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in answer.stdout.decode().split("\0") if name]


@cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Every node below; walked once, however many rules look at it."""
    return tuple(ast.walk(tree))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    for node in nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute, or nothing for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the dotted name of what is called."""
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every absolute name that is imported: the module, and `module.name` for each `from`."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
