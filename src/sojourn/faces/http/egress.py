"""`/egress/SESSION/GRANT/…`: a session's requests to an API whose key it never sees.

Recognised by the session's own proof, like a beat. The answer is passed on piece by piece and
breaks off, unfinished, when the session ends.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from fastapi import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sojourn.faces.http.callers import session_holder
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.envelope import FORWARDED
from sojourn.ports.provider import Incoming, Outgoing


class _Passed(StreamingResponse):
    """An answer that is somebody else's; what it holds open is given back at its end."""

    def __init__(self, incoming: Incoming, held: AsyncExitStack) -> None:
        super().__init__(incoming.pieces, status_code=incoming.status)
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in incoming.headers
        ]
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._held.aclose()


async def forward_get(request: Request, session_id: str, grant: str, path: str) -> Response:
    """Send GET on, with the key that the session's grant stands for."""
    return await _forward(request, session_id, grant)


async def forward_post(request: Request, session_id: str, grant: str, path: str) -> Response:
    """Send POST on, with the key that the session's grant stands for."""
    return await _forward(request, session_id, grant)


async def forward_put(request: Request, session_id: str, grant: str, path: str) -> Response:
    """Send PUT on, with the key that the session's grant stands for."""
    return await _forward(request, session_id, grant)


async def forward_patch(request: Request, session_id: str, grant: str, path: str) -> Response:
    """Send PATCH on, with the key that the session's grant stands for."""
    return await _forward(request, session_id, grant)


async def forward_delete(request: Request, session_id: str, grant: str, path: str) -> Response:
    """Send DELETE on, with the key that the session's grant stands for."""
    return await _forward(request, session_id, grant)


async def _forward(request: Request, session_id: str, grant: str) -> Response:
    desk = desk_of(request)
    viewed = await session_holder(request, session_id)
    outgoing = Outgoing(
        method=request.method,
        path=_far_path(request),
        query=request.scope.get("query_string", b"").decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
        body=await request.body(),
    )
    async with AsyncExitStack() as stack:
        incoming = await stack.enter_async_context(desk.verbs.forward(viewed.session.id, grant, outgoing))
        return _Passed(incoming, stack.pop_all())


def _far_path(request: Request) -> str:
    """The rest of the path exactly as it was sent: what is judged is what the API will see."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    rest = raw.decode("latin-1").partition("?")[0].removeprefix(FORWARDED)
    return "/" + rest.split("/", 2)[2]
