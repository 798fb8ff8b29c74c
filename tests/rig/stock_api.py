"""The smallest guarded API: what a request costs here is what its guard costs."""

from __future__ import annotations

import os
from pathlib import Path

from sojourn.guard.asgi import Guard
from sojourn.guard.profile import load_profile
from sojourn.guard.streams import Receive, Scope, Send

_BODY = b'{"apples": 3}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]


async def stock(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request alike; take part in the lifespan."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


def create() -> Guard:
    """The guarded application, as uvicorn makes it."""
    profile = load_profile(Path(os.environ["GUARD_PROFILE"]))
    return Guard(stock, profile, base=os.environ["GUARD_BASE"], require={"/": ["stock.read"]})
