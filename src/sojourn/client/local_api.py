"""What the socket of a running session answers itself, under the host `sojourn.local`.

`GET /session`, `POST /complete`, `/resume` and `/phase/NAME`, and for children `GET /parent` and
`POST /children`: the only way to them, since nobody else holds the session's key. Whoever may open the
socket is the same user as the workload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sojourn.client.jsonfacts import Json, parse_object, text
from sojourn.client.session import LiveSession
from sojourn.core.errors import NotFound

LOCAL: Final = "sojourn.local"
LARGEST: Final = 1 << 16  # of a request for a child; the server takes no more


def answer_local(
    method: str, path: str, live: LiveSession, on_resumed: Callable[[], None], *, body: bytes = b""
) -> Json:
    """Answer one request about the session itself.

    Raises:
        NotFound: code `no_such_call`.
        Invalid: code `bad_json` or `bad_answer`; the request for a child is malformed.
        SojournError: what the server answered.
    """
    match method, path:
        case "GET", "/session":
            return live.view.raw
        case "GET", "/parent":
            return {"issuer": live.issuer, "session": live.id}
        case "POST", "/children":
            return _child(live, parse_object(body))
        case "POST", "/complete":
            return live.complete().raw
        case "POST", "/resume":
            opened = live.resume()
            on_resumed()
            return opened.session.raw
        case "POST", phase if phase.startswith("/phase/"):
            return live.phase(phase.removeprefix("/phase/")).raw
        case _:
            raise NotFound("no_such_call", "expected a call of the session: see `docs/guides/wrap-a-command`")


def _child(live: LiveSession, asked: Mapping[str, object]) -> Json:
    """Pass a child's request on, signed by this session's key, which stays here."""
    own = ("key_proof", "idempotency")
    body = {name: value for name, value in asked.items() if name not in own}
    return live.open_below(body, text(asked, "key_proof"), text(asked, "idempotency"))
