"""Which version is installed. Cheap to ask: `--version` does nothing else."""

from __future__ import annotations

import os
import sys


def installed_version() -> str:
    """The version of this installation, read off the name of its metadata folder.

    `importlib.metadata` says the same and takes longer than all the rest of `--version`.
    """
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.startswith("sojourn-") and name.endswith(".dist-info"):
                return name.removeprefix("sojourn-").removesuffix(".dist-info")
    return "(not installed)"
