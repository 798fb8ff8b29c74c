"""One guarded request while it runs, and its end when the session's end is heard.

The application runs in a task of its own. When its session may go on no longer, nothing more
passes in or out, the connection is ended from our side, and the task is cancelled: an
application that waits for something else, or ignores cancellation, cannot hold the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from sojourn.core.errors import SojournError
from sojourn.guard.problems import NONCE, show
from sojourn.guard.revocation_feed import RevocationFeed
from sojourn.guard.verifier import Access, Verifier

# The ASGI specification's own types: messages are open mappings.
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLOSE_CODE: Final = 4401  # WebSocket: private use, after HTTP's 401
LAST_WORDS_S: Final = 0.5  # a peer that does not read cannot keep a connection open
CANCEL_WITHIN_S: Final = 0.1  # then the application's task is left to itself, with nothing to speak to

_left_behind: set[asyncio.Future[None]] = set()  # tasks that ignored cancellation; held until they end


class GuardedCall:
    """One request of one session, from its acceptance to its end."""

    def __init__(self, access: Access, verifier: Verifier, receive: Receive, send: Send) -> None:
        self._claims = access.claims
        self._nonce = access.next_nonce
        self._verifier = verifier
        self._receive = receive
        self._send = send
        self._cut: asyncio.Future[SojournError] = asyncio.get_running_loop().create_future()
        self._started = False
        self._complete = False

    async def run(self, app: App, scope: Scope, feed: RevocationFeed) -> None:
        """Run `app` until it is done or the session is over."""
        feed.listen(self._look)
        work = asyncio.ensure_future(app(scope, self._pass_in, self._pass_out))
        try:
            either: set[asyncio.Future[Any]] = {work, self._cut}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._cut.done():
                await self._end(scope["type"], self._cut.result())
        finally:
            feed.forget(self._look)
            await _stop(work)
        if not self._cut.done():
            await work

    def _look(self) -> None:
        """Notice the end; called by the feed, and before each message either way."""
        if self._cut.done() or self._complete:
            return
        try:
            self._verifier.check_hearing()
            self._verifier.check_standing(self._claims)
        except SojournError as error:
            self._cut.set_result(error)

    async def _pass_in(self) -> Message:
        message = await self._receive()
        self._look()
        if self._cut.done():
            # Cancellation is on its way; until then this is what a lost connection looks like.
            return {"type": "websocket.disconnect", "code": CLOSE_CODE} if _is_socket(message) else _GONE
        return message

    async def _pass_out(self, message: Message) -> None:
        self._look()
        if self._cut.done():
            raise ConnectionResetError("the session is over")  # what ASGI says of a lost connection
        if not self._started and self._nonce is not None and message["type"] == "http.response.start":
            message = with_nonce(message, self._nonce)
        self._started = True
        self._complete = _completes(message)
        await self._send(message)

    async def _end(self, kind: str, error: SojournError) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                if kind == "websocket":
                    await self._send({"type": "websocket.close", "code": CLOSE_CODE, "reason": error.code})
                elif not self._started:
                    await answer(self._send, error)
                # A response that has begun stays incomplete: servers then close the connection.
        except (TimeoutError, OSError, RuntimeError):
            return  # the peer was gone, or had closed first


async def answer(send: Send, error: SojournError, *, metadata: str = "") -> None:
    """Refuse an HTTP request."""
    problem = show(error, metadata=metadata)
    headers = [(name.encode(), value.encode()) for name, value in problem.headers]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": problem.body})


def with_nonce(message: Message, nonce: str) -> Message:
    """The beginning of an answer that gives out the nonce of the next request (RFC 9449, section 8.2)."""
    return {**message, "headers": [*message.get("headers", ()), (NONCE.encode(), nonce.encode())]}


_GONE: Final[Message] = {"type": "http.disconnect"}


def _is_socket(message: Message) -> bool:
    return str(message["type"]).startswith("websocket.")


def _completes(message: Message) -> bool:
    if message["type"] == "websocket.close":
        return True
    return message["type"] == "http.response.body" and not message.get("more_body", False)


async def _stop(work: asyncio.Future[None]) -> None:
    if work.done():
        _hear_out(work)  # it may have failed of the cut, and nobody else asks
        return
    work.cancel()
    work.add_done_callback(_hear_out)
    await asyncio.wait({work}, timeout=CANCEL_WITHIN_S)
    if not work.done():
        _left_behind.add(work)
        work.add_done_callback(_left_behind.discard)


def _hear_out(work: asyncio.Future[None]) -> None:
    """Take note of how a cut application ended, or the loop would complain of it later."""
    if not work.cancelled():
        work.exception()
