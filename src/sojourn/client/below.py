"""A child of the session this program runs in: asked for through the socket of the parent.

The parent's key stays in its own process, which signs; the child's key is made here and stays here.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sojourn.client.caller import SessionCaller, prove
from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import Json, parse_object, text
from sojourn.client.local_api import LOCAL
from sojourn.client.session import ChildWish, LiveSession, open_child
from sojourn.client.signing import Es256Key
from sojourn.client.transport import Transport, error_of
from sojourn.core.errors import Invalid, Unavailable

VARIABLE: Final = "SOJOURN_SOCKET"
_TIMEOUT_S: Final = 60.0
_LARGEST: Final = 1 << 20


def open_below(environ: Mapping[str, str], wish: ChildWish) -> LiveSession:
    """Open a child of the session whose socket `environ` names.

    Raises:
        Invalid: code `no_parent`; this program does not run inside a session.
        SojournError: what the parent or the server answered.
    """
    place = environ.get(VARIABLE)
    if not place:
        raise Invalid("no_parent", f"`{VARIABLE}` is not set: run this inside `sojourn run`")
    parent = _ask(Path(place), "GET", "/parent", None)
    clock, key = EdgeClock(), Es256Key.generate()
    caller = SessionCaller(Transport(text(parent, "issuer")), key, clock)
    url = caller.transport.url(f"/v1/sessions/{text(parent, 'session')}/children")

    def introduce(body: Json, name: str) -> Json:
        asked = {**body, "key_proof": prove(key, clock, "POST", url), "idempotency": name}
        return _ask(Path(place), "POST", "/children", asked)

    return open_child(introduce, wish, caller, source=None)


def _ask(place: Path, method: str, path: str, body: Json | None) -> Json:
    connection = _Socket(place)
    raw = None if body is None else json.dumps(body).encode()
    headers = {"Host": LOCAL, "Connection": "close"}
    try:
        connection.request(method, path, raw, {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable("no_answer", "the parent session did not answer on its socket") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise error_of(answer.status, content)
    return parse_object(content)


class _Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, place: Path) -> None:
        super().__init__(LOCAL, timeout=_TIMEOUT_S)
        self._place = place

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._place))
