"""Which files are looked at: bounded in number, size and depth; links are not followed.

A folder that others made (packages, builds, a repository's own objects) is passed over: what
is committed is found in the working tree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

LARGEST: Final = 1 << 20  # bytes: configuration is smaller
MOST_FILES: Final = 50_000
DEEPEST: Final = 24
PASSED_OVER: Final = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", "target", "vendor"}
)


@dataclass(frozen=True, slots=True)
class Text:
    """A file that could be read as text."""

    path: Path
    content: str
    changed_at: datetime
    owner: int  # its user's id

    @property
    def lines(self) -> list[str]:
        """Its lines, without their ends."""
        return self.content.splitlines()


def texts(roots: list[Path]) -> Iterator[Text]:
    """Every readable text file under the roots, each once; a root may be a file."""
    left = MOST_FILES
    for root in roots:
        for path in _files(root, DEEPEST):
            if left == 0:
                return
            left -= 1
            found = _read(path)
            if found is not None:
                yield found


def _files(place: Path, depth: int) -> Iterator[Path]:
    if place.is_symlink():
        return
    if not place.is_dir():
        yield place
        return
    if depth == 0:
        return
    try:
        inside = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:  # not ours to read: that is no finding
        return
    for entry in inside:
        if entry.name not in PASSED_OVER:
            yield from _files(Path(entry.path), depth - 1)


def _read(path: Path) -> Text | None:
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or not 0 < about.st_size <= LARGEST:
            return None
        raw = path.read_bytes()
    except OSError:
        return None
    if b"\0" in raw[:4096]:
        return None
    changed = datetime.fromtimestamp(about.st_mtime, UTC)
    return Text(path, raw.decode("utf-8", "replace"), changed, about.st_uid)
