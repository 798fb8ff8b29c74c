"""Call a guarded API from inside a session until it refuses; write what was seen to a file.

Runs under `sojourn run`, which adds token and proof to requests sent through the socket
named in the environment. It holds one stream open and calls a route every 20 ms.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

import httpx2

AUDIENCE_HOST: Final = "http://stock.example"
GIVE_UP_SECONDS: Final = 60.0


class Seen:
    """What happened so far, written whole each time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: dict[str, object] = {}
        self._lock = threading.Lock()

    def tell(self, **more: object) -> None:
        """Add to what was seen."""
        with self._lock:
            self._told |= more
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(self._told))
            fresh.replace(self._path)


def client() -> httpx2.Client:
    """A client that reaches the API through the socket of `sojourn run`."""
    transport = httpx2.HTTPTransport(uds=os.environ["SOJOURN_SOCKET"])
    return httpx2.Client(transport=transport, base_url=AUDIENCE_HOST, timeout=5)


def follow(seen: Seen) -> None:
    """Read the stream until it is cut."""
    with client() as own:
        try:
            with own.stream("GET", "/events") as answer:
                for _ in answer.iter_text():
                    seen.tell(streaming=True)
        except httpx2.HTTPError as error:
            seen.tell(cut_by=type(error).__name__)
    seen.tell(cut_at=time.time())


def main() -> None:
    """Call until refused, then wait for the end of the stream."""
    # `sojourn run` ends its tree with the session; what was seen must be written first.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    seen = Seen(Path(sys.argv[1]))
    with client() as own:
        seen.tell(first=own.get("/stock").status_code)
        stream = threading.Thread(target=follow, args=(seen,), daemon=True)
        stream.start()
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while (answer := own.get("/stock")).status_code == httpx2.codes.OK and time.monotonic() < give_up:
            time.sleep(0.02)
        refused_at = time.time()
        stream.join(10)
        seen.tell(refused=answer.status_code, refused_at=refused_at)


if __name__ == "__main__":
    main()
