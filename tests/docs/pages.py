"""What the documentation tests read: pages, their links, and the commands they show.

A block fenced as `console run` is executed; its lines that begin with `$ ` are the commands, and
a command that must fail ends in `# exit N`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.architecture.tree import ROOT

_FENCE: Final = re.compile(r"^```([^\n`]*)\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"`(src/[\w./-]+|tests/[\w./-]+|scripts/[\w./-]+)`")
_EXIT: Final = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True, slots=True)
class Command:
    """One line to run, and the exit code it must have."""

    page: str
    line: str
    code: int


def pages(root: Path = ROOT) -> list[Path]:
    """Every page people read."""
    top = sorted(root.glob("*.md"))
    return top + [p for folder in ("docs", "spec", "bench") for p in sorted((root / folder).rglob("*.md"))]


def blocks(text: str) -> list[list[tuple[str, int]]]:
    """The commands of each block that is to be run, in order."""
    found = []
    for label, body in _FENCE.findall(text):
        if label.split() == ["console", "run"]:
            found.append([_command(line[2:]) for line in body.splitlines() if line.startswith("$ ")])
    return found


def _command(line: str) -> tuple[str, int]:
    stated = _EXIT.search(line)
    return (line[: stated.start()], int(stated[1])) if stated else (line, 0)


def linked(page: Path) -> set[Path]:
    """The files that a page links to."""
    prose = _FENCE.sub("", page.read_text("utf-8"))
    paths = (target.partition("#")[0] for target in _LINK.findall(prose))
    return {there for path in paths if path and (there := (page.parent / path).resolve()).is_file()}


def broken_links(page: Path, root: Path = ROOT) -> Iterator[str]:
    """Relative links, and files named in backticks, that lead nowhere."""
    prose = _FENCE.sub("", page.read_text("utf-8"))
    for target in _LINK.findall(prose):
        path = target.partition("#")[0]
        if (
            path
            and "://" not in target
            and not target.startswith("mailto:")
            and not (page.parent / path).exists()
        ):
            yield f"{page.relative_to(root)}: link to `{target}`"
    for named in _CODE.findall(prose):
        if not (root / named).exists():
            yield f"{page.relative_to(root)}: names `{named}`"
