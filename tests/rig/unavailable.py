"""The one way to leave a test out: say what this machine lacks, and have it listed at the end.

Nothing is skipped in silence. The summary is printed by `tests/conftest.py`, with and without
parallel workers.
"""

from __future__ import annotations

import shutil
from typing import Final, NoReturn

import pytest

MARK: Final = "not run on this machine: "


def unavailable(what: str, mend: str) -> NoReturn:
    """End this test as not run, because `what` is missing; `mend` says how to get it."""
    pytest.skip(f"{MARK}{what} is missing; {mend}", allow_module_level=True)


def tool(name: str, *, package: str) -> str:
    """The path of a command, or the test ends as not run."""
    found = shutil.which(name)
    if found is None:
        unavailable(f"`{name}`", f"apt-get install {package}")
    return found
