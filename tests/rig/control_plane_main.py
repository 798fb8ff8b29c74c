"""`sojourn serve`, with settings that a test may bend: `CONFIG OVERRIDES` (JSON, in seconds).

Ends itself when the test that started it is gone: its standard input is then closed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sojourn import running
from sojourn.config import Settings

_ORPHANED = 70


def main(config: str, overrides: str) -> int:
    """Serve until ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    bent: dict[str, Any] = {name: timedelta(seconds=s) for name, s in json.loads(overrides).items()}
    vars(running)["Settings"] = partial(Settings, **bent)
    return running.serve(Path(config))


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # not by `sys.stdin`: its lock would be missed at an orderly end
    os._exit(_ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
