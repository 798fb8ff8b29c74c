"""How commands show things: tables for people, JSON with `--json`; errors to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

from sojourn.cli.exits import exit_of
from sojourn.core.errors import SojournError


def show_json(value: object) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def show_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under heads, as wide as needed."""
    cells = [tuple(heads), *(tuple(printable(c) for c in row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print name and value, a line each."""
    listed = [(name, printable(value)) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        print(f"{name.ljust(width)}  {value}")


def say(line: str) -> None:
    """Tell the person something, beside the result."""
    print(f"sojourn: {printable(line)}", file=sys.stderr, flush=True)


def fail(error: SojournError, *, as_json: bool) -> int:
    """Show an error and give its exit code."""
    code = int(exit_of(error))
    if as_json:
        show_json({"error": {"code": error.code, "message": error.message}, "exit": code})
        return code
    say(str(error))
    return code


def printable(value: object) -> str:
    """`value` as text that cannot drive a terminal; nothing is a dash."""
    if value is None or value == "":
        return "-"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
