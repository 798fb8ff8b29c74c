"""What the socket of a running session answers itself, under the host `sojourn.local`.

`GET /session`, `POST /complete`, `/resume` and `/phase/NAME`: the only way to them, since nobody else holds
the session's key. Whoever may open the socket is the same user as the workload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sojourn.client.jsonfacts import Json
from sojourn.client.session import LiveSession
from sojourn.core.errors import NotFound

LOCAL: Final = "sojourn.local"


def answer_local(method: str, path: str, live: LiveSession, on_resumed: Callable[[], None]) -> Json:
    """Answer one request about the session itself.

    Raises:
        NotFound: code `no_such_call`.
        SojournError: what the server answered.
    """
    match method, path:
        case "GET", "/session":
            return live.view.raw
        case "POST", "/complete":
            return live.complete().raw
        case "POST", "/resume":
            opened = live.resume()
            on_resumed()
            return opened.session.raw
        case "POST", phase if phase.startswith("/phase/"):
            return live.phase(phase.removeprefix("/phase/")).raw
        case _:
            raise NotFound(
                "no_such_call", "expected `GET /session`, `POST /complete`, `/resume` or `/phase/NAME`"
            )
