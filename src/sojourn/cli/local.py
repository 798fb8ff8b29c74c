"""Finds the socket of a session that runs here, and asks it."""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

from sojourn.client.jsonfacts import Json, parse_object
from sojourn.client.local_api import LOCAL
from sojourn.client.transport import error_of
from sojourn.core.errors import NotFound, Unavailable

_TIMEOUT_S: Final = 30.0


def ask_local(session: str, method: str, path: str) -> Json:
    """Ask the wrapper of `session`.

    Raises:
        NotFound: code `not_here`; no such session runs here under this user.
        SojournError: what the wrapper or the server answered.
    """
    return _ask(_socket_of(session), method, path)


def ask_here(method: str, path: str) -> Json:
    """Ask the wrapper under which this very command runs, by its socket.

    Raises:
        NotFound: code `not_here`; this is no command of `sojourn run`.
        SojournError: what the wrapper or the server answered.
    """
    place = os.environ.get("SOJOURN_SOCKET")
    if not place:
        raise NotFound("not_here", "this does not run under `sojourn run`; name a session with --session")
    return _ask(Path(place), method, path)


def _ask(place: Path, method: str, path: str) -> Json:
    connection = _Unix(place)
    try:
        connection.request(method, path, headers={"Host": LOCAL})
        response = connection.getresponse()
        raw = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable("unreachable", f"the wrapper at `{place}` does not answer") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise error_of(response.status, raw)
    return parse_object(raw)


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__(LOCAL, timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


def _socket_of(session: str) -> Path:
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        for folder in Path(base).glob(f"sojourn-{session}-*") if base else ():
            # Anybody may make a folder in /tmp: only our own is asked.
            if folder.stat().st_uid == os.geteuid():
                return folder / "api.sock"
    raise NotFound("not_here", f"session `{session}` does not run here: only its `sojourn run` holds its key")
