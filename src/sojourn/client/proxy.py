"""The Unix socket through which a child reaches guarded APIs without holding a secret.

`curl --unix-socket $SOJOURN_DIR/api.sock http://orders/…`: the host names a grant or an audience;
access token and DPoP proof are added on the way. Refuses everything once the session is not
live, and cuts the streams that are open then.
"""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import socketserver
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import Final
from urllib.parse import SplitResult, urlsplit

from sojourn.client.caller import prove
from sojourn.client.clock import EdgeClock
from sojourn.client.local_api import LARGEST, LOCAL, answer_local
from sojourn.client.routes import Route, egress_for, route_for
from sojourn.client.session import LiveSession
from sojourn.client.transport import connect
from sojourn.core.errors import (
    NotFound,
    Refused,
    SojournError,
    TargetError,
    Unavailable,
)

FORWARDED: Final = "http_key"  # the provider whose credentials are used through the control plane
MOST_AT_ONCE: Final = 64  # connections of one child; each is a thread
IDLE_S: Final = 60.0
UPSTREAM_S: Final = 300.0  # silence on a stream that long is taken for a dead peer
_PIECE: Final = 1 << 16
_KEPT: Final = 1 << 20  # a body up to here can be sent again, where only a nonce was missing
_LONGEST_NONCE: Final = 256
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# RFC 9110, section 7.6.1, and what only we may say.
_NOT_PASSED_ON: Final = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "authorization",
        "dpop",
        "content-length",
    ]
)


def _nothing() -> None:
    return None


class Proxy:
    """Listens from the start; answers once started."""

    def __init__(
        self,
        path: Path,
        live: LiveSession,
        addresses: Mapping[str, str],
        *,
        on_resumed: Callable[[], None] = _nothing,
    ) -> None:
        self.live, self.addresses, self.on_resumed = live, addresses, on_resumed
        self._clock, self._lock = EdgeClock(), Lock()
        self._open: dict[http.client.HTTPConnection, socket.socket] = {}
        self._nonces: dict[str, str] = {}  # what each far side last asked proofs to carry
        self._server, self._started = _Server(path, self), False

    def start(self) -> None:
        """Answer, in threads."""
        self._started = True
        Thread(target=self._server.serve_forever, name="proxy", daemon=True, args=(0.2,)).start()

    def cut(self) -> None:
        """Close every open stream: nothing is answered any more from the far side."""
        with self._lock:
            doomed, self._open = self._open, {}
        for sock in doomed.values():
            _shut(sock)

    def stop(self) -> None:
        """Listen no more."""
        self.cut()
        if self._started:
            self._server.shutdown()
        self._server.server_close()

    def far_side(self, route: Route) -> http.client.HTTPConnection:
        """A connection to where `route` leads, remembered so that it can be cut."""
        connection = connect(urlsplit(route.base), UPSTREAM_S)
        try:
            connection.connect()
        except OSError as error:
            raise Unavailable(
                "unreachable", f"cannot reach `{route.base}`: {error.strerror or error}"
            ) from error
        with self._lock:
            # Kept apart: the connection lets go of it while a stream is still being read.
            self._open[connection] = connection.sock
        return connection

    def forget(self, connection: http.client.HTTPConnection) -> None:
        """Close `connection`."""
        with self._lock:
            self._open.pop(connection, None)
        connection.close()

    def route(self, host: str) -> Route:
        """Where requests to `host` go: through the control plane, or to the guarded API itself."""
        live = self.live
        forwarded = {c.grant: c.connection["base_url"] for c in live.credentials if c.provider == FORWARDED}
        through = egress_for(host, live.view, forwarded, live.issuer)
        return through or route_for(host, live.view, self.addresses)

    def credentials(self, route: Route, method: str, url: str) -> dict[str, str]:
        """The headers that prove the session to the audience of `route`, or to the control plane."""
        if route.forwarded:
            if not self.live.live:
                raise Refused("session_not_live", f"session `{self.live.id}` is not live")
            return {"DPoP": prove(self.live.key, self._clock, method, url, nonce=self._nonce(url))}
        held = self.live.token_for(route.audience)
        if held is None:
            raise Refused(
                "session_not_live", f"session `{self.live.id}` is not live or has no token for this audience"
            )
        token, nonce = held.token, self._nonce(url)
        proof = prove(self.live.key, self._clock, method, url, access_token=token, nonce=nonce)
        return {"Authorization": f"DPoP {token.reveal()}", "DPoP": proof}

    def misses_nonce(self, url: str, response: http.client.HTTPResponse) -> bool:
        """Keep the nonce that an answer gives; whether the request failed for the lack of it alone.

        A proof without its nonce counts for nothing, so nothing happened (RFC 9449, section 9).
        """
        nonce = response.getheader("DPoP-Nonce", "")
        if not 0 < len(nonce) <= _LONGEST_NONCE:
            return False
        self._nonces[_origin(url)] = nonce
        return response.status == 401 and "use_dpop_nonce" in response.getheader("WWW-Authenticate", "")

    def _nonce(self, url: str) -> str | None:
        return self._nonces.get(_origin(url))


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_AT_ONCE

    def __init__(self, path: Path, proxy: Proxy) -> None:
        self.proxy, self._room = proxy, BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(str(path), _Exchange)
        path.chmod(0o600)

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept one more, when there is room; `OSError` makes the loop come again."""
        if not self._room.acquire(timeout=IDLE_S):
            raise OSError("too many connections at once")
        try:
            return super().get_request()
        except OSError:
            self._room.release()
            raise

    def close_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close one, and make room."""
        super().close_request(request)
        self._room.release()


@dataclass(frozen=True, slots=True)
class _Sending:
    """A request as it goes to the far side, but for what proves the session."""

    route: Route
    url: str
    target: str
    headers: Mapping[str, str]


class _Exchange(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: paths may be secret."""

    def address_string(self) -> str:
        return "child"

    def __getattr__(self, name: str) -> object:
        if name.removeprefix("do_") in _METHODS:
            return self._answer
        raise AttributeError(name)

    def handle(self) -> None:
        """Answer until the child hangs up, which is no news: a traceback could show what it sent."""
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def _answer(self) -> None:
        try:
            self._pass_on()
        except SojournError as error:
            self._problem(error)

    def _pass_on(self) -> None:
        proxy, length = self.server.proxy, self._body_length()
        parts = urlsplit(self.path)
        host = parts.netloc if parts.scheme else self.headers.get("Host", "")
        if host == LOCAL:
            body = self.rfile.read(min(length, LARGEST)) if length else b""
            self.close_connection = self.close_connection or length > LARGEST
            answered = answer_local(self.command, parts.path, proxy.live, proxy.on_resumed, body=body)
            self._send_whole(200, dict(answered), "application/json")
            return
        route = proxy.route(host)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        base = urlsplit(route.base)
        url = f"{base.scheme}://{base.netloc}{base.path.rstrip('/')}{parts.path or '/'}"
        whole = self._body(length) if length <= _KEPT else None
        sending = _Sending(route, url, base.path.rstrip("/") + target, self._own_headers(base, length))
        if not self._exchange(sending, length, whole, final=whole is None):
            self._exchange(sending, length, whole, final=True)

    def _exchange(self, sending: _Sending, length: int, whole: bytes | None, *, final: bool) -> bool:
        """Ask the far side and pass its answer on; not if the same is to be asked again, with a nonce."""
        proxy = self.server.proxy
        headers = {**sending.headers, **proxy.credentials(sending.route, self.command, sending.url)}
        connection = proxy.far_side(sending.route)
        try:
            response = self._ask(connection, sending.target, headers, length=length, whole=whole)
            if proxy.misses_nonce(sending.url, response) and not final:
                return False
            self._send_back(response)
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # half an answer is out: only hanging up says so
        finally:
            proxy.forget(connection)
        return True

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        target: str,
        headers: Mapping[str, str],
        *,
        length: int,
        whole: bytes | None,
    ) -> http.client.HTTPResponse:
        try:
            connection.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            if whole is None:
                self._send_body(connection, length)
            elif whole:
                connection.send(whole)
            return connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TargetError("no_answer", f"the far side did not answer: {type(error).__name__}") from error

    def _body_length(self) -> int:
        given = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(given) > 1 or not all(_is_length(g) for g in given):
            self.close_connection = True
            raise Refused("length_required", "expected a body with one Content-Length, or none")
        return int(given[0]) if given else 0

    def _own_headers(self, base: SplitResult, length: int) -> dict[str, str]:
        named = {n.strip().lower() for n in self.headers.get("Connection", "").split(",")}
        passed = {n: v for n, v in self.headers.items() if n.lower() not in _NOT_PASSED_ON | named}
        passed["Host"] = base.netloc
        if length or "Content-Length" in self.headers:
            passed["Content-Length"] = str(length)
        return passed

    def _body(self, length: int) -> bytes:
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            self.close_connection = True
            raise TargetError("no_answer", "the child sent less than it announced", sent=False)
        return body

    def _send_body(self, connection: http.client.HTTPConnection, length: int) -> None:
        while length > 0:
            piece = self.rfile.read(min(length, _PIECE))
            if not piece:
                raise OSError("the child sent less than it announced")
            connection.send(piece)
            length -= len(piece)

    def _send_back(self, response: http.client.HTTPResponse) -> None:
        bodiless = self.command == "HEAD" or response.status in (204, 304)
        size = response.getheader("Content-Length")
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        if size is not None:
            self.send_header("Content-Length", size)
        chunked = size is None and not bodiless
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not bodiless:
            self._stream(response, chunked=chunked)

    def _stream(self, response: http.client.HTTPResponse, *, chunked: bool) -> None:
        expected, sent = response.length, 0
        while piece := response.read1(_PIECE):
            sent += len(piece)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if not self.server.proxy.live.live or (expected is not None and sent < expected):
            raise OSError("the stream was cut")
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _problem(self, error: SojournError) -> None:
        status = 404 if isinstance(error, NotFound) else 403 if isinstance(error, Refused) else 502
        content: dict[str, object] = {"type": f"urn:sojourn:problem:{error.code}", "detail": error.message}
        self.close_connection = True
        self._send_whole(
            status,
            {**content, "code": error.code, "title": error.code, "status": status},
            "application/problem+json",
        )

    def _send_whole(self, status: int, content: Mapping[str, object], kind: str) -> None:
        raw = json.dumps(content).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # already gone
