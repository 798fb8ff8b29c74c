"""The command table. `--version` and `run` take a short way that imports next to nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    sys.exit(int(dispatch(words)))


def dispatch(words: Sequence[str]) -> int:
    """Run one command; gives the exit code."""
    match list(words):
        case ["--version" | "-V"]:
            return _version()
        case ["run", *rest]:
            from sojourn.cli.run import run

            return run(rest)
        case _:
            from sojourn.cli.table import run_table

            return run_table(words)


def _version() -> int:
    print(f"sojourn {installed_version()}")
    return 0


def installed_version() -> str:
    """The version of this installation, read off the name of its metadata folder.

    `importlib.metadata` says the same and takes longer than all the rest of `--version`.
    """
    import os

    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.startswith("sojourn-") and name.endswith(".dist-info"):
                return name.removeprefix("sojourn-").removesuffix(".dist-info")
    return "(not installed)"
