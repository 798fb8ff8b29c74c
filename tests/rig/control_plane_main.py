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

from sojourn import wiring
from sojourn.config import Settings

_ORPHANED = 70


def main(config: str, overrides: str) -> int:
    """Serve until ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    bent = {name: timedelta(seconds=seconds) for name, seconds in json.loads(overrides).items()}
    wiring.Settings = partial(Settings, **bent)  # type: ignore[misc, assignment]
    return wiring.serve(Path(config))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(_ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
