"""What holds for every request before any route sees it, and for every answer after.

Bodies are read whole within a bound and must be JSON with one reading; tokens in the query are
refused; every answer forbids caching and sniffing. Plain ASGI.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sojourn.core.errors import Invalid
from sojourn.faces.http import request_log, strict_json
from sojourn.faces.http.limits import BODY_BYTES, EGRESS_BYTES, HEADER_TEXT, QUERY_BYTES
from sojourn.faces.http.problems import render
from sojourn.faces.http.refusals import Refusals

_SECRET_NAMES: Final = frozenset(
    {"access_token", "token", "dpop", "authorization", "client_assertion", "assertion"}
)
FORM_PATHS: Final = frozenset({"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"})
FORWARDED: Final = "/egress/"
_FORM: Final = "application/x-www-form-urlencoded"

SECURITY: Final = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Strict-Transport-Security", "max-age=63072000"),
)
_REQUEST_ID: Final = b"x-request-id"
_SECURITY: Final = tuple((name.lower().encode(), value.encode()) for name, value in SECURITY)
_OURS: Final = frozenset({_REQUEST_ID, *(name for name, _ in _SECURITY)})


class Envelope:
    """The outermost layer of the face."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._sampler = request_log.Sampler()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusals = Refusals(scope, send)
        answered = _Answered(refusals, request_log.begin().id)
        try:
            await self._answer(scope, receive, answered, refusals=refusals)
        finally:
            request_log.finish(scope, answered.status, self._sampler)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, refusals: Refusals) -> None:
        try:
            forwarded = scope["path"].startswith(FORWARDED)  # what it holds is for another API to judge
            _check_head(scope, forwarded=forwarded)
            body = await _read(receive, Headers(scope=scope), EGRESS_BYTES if forwarded else BODY_BYTES)
            if not forwarded:
                refusals.body = body
                _check_body(scope, body)
        except Invalid as error:
            await render(scope["path"], error)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


class _Answered:
    """Puts on every answer what every answer carries, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status = 500  # unless something is answered, it was a defect

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            told = [header for header in message["headers"] if header[0].lower() not in _OURS]
            message["headers"] = [*told, (_REQUEST_ID, self._request_id), *_SECURITY]
        await self._send(message)


def _check_head(scope: Scope, *, forwarded: bool) -> None:
    query = scope.get("query_string", b"")
    if len(query) > QUERY_BYTES or any(len(value) > HEADER_TEXT for _, value in scope["headers"]):
        raise Invalid(
            "too_large", f"expected a query under {QUERY_BYTES} and headers under {HEADER_TEXT} bytes"
        )
    if forwarded or not query:
        return
    names = {name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
    if found := sorted(names & _SECRET_NAMES):
        raise Invalid("token_in_query", f"`{found[0]}` belongs in a header or body, never in the query")


async def _read(receive: Receive, headers: Headers, most: int) -> bytes:
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()) or len(declared) > 12 or int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the caller left; whatever is answered goes nowhere
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(most: int) -> Invalid:
    return Invalid("too_large", f"expected a body of at most {most} bytes")


def _check_body(scope: Scope, body: bytes) -> None:
    if not body:
        return
    headers = Headers(scope=scope)
    wanted = _FORM if scope["path"] in FORM_PATHS else "application/json"
    found = headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != wanted or headers.get("content-encoding", "identity").lower() != "identity":
        raise Invalid("unsupported_media_type", f"expected a plain body of type `{wanted}`")
    if wanted != _FORM:
        strict_json.read(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def inward() -> Message:
        return pending.pop() if pending else await receive()

    return inward
