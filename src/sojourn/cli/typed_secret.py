"""Reads a secret from a file, a prompt or standard input; never from the command line."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Final

from sojourn.client.private_file import read_private
from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret

_LONGEST: Final = 16384


def read_secret(what: str, file: Path | None) -> Secret:
    """Read the secret called `what` from `file`, where `-` is standard input; without one, ask.

    Raises:
        Invalid: code `usage_secret`, or `unsafe_file` when others may read the file.
    """
    if file is not None and str(file) != "-":
        return _checked(what, read_private(file))
    if file is None and sys.stdin.isatty():
        return _checked(what, getpass.getpass(f"{what} (not shown): "))
    return _checked(what, sys.stdin.read(_LONGEST + 1))


def _checked(what: str, text: str) -> Secret:
    found = text.strip("\r\n")
    one_line = "\n" not in found or found.startswith("-----BEGIN ")  # a key in PEM has several
    if not found or len(found) > _LONGEST or not one_line:
        raise Invalid(
            "usage_secret", f"expected the {what} on one line, in a file, at the prompt or on standard input"
        )
    return Secret(found)
