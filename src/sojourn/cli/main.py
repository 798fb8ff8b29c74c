"""The command table. `--version` and `run` take a short way that imports next to nothing."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    code = int(dispatch(words))
    gc.freeze()  # the process is over: nothing in it is worth a search for garbage
    sys.exit(code)


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
    from sojourn.cli.version import installed_version

    print(f"sojourn {installed_version()}")
    return 0
