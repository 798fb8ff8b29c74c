"""An OIDC issuer on loopback over real HTTPS, which behaves, or misbehaves, as real ones do.

It publishes discovery and keys, signs with RS256 under ids of its own, rotates, revokes, goes
down, answers slowly or with far too much, and counts every request it got.
"""

from __future__ import annotations

import json
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from joserfc import jws
from joserfc.jwk import RSAKey

Answer = tuple[int, Mapping[str, str], bytes]
Route = Callable[["Call"], Answer]
_REGISTRY: Final = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
_KEYS: Final = [RSAKey.generate_key(2048) for _ in range(3)]  # made once: it takes a while
_LONGEST_WAIT_S: Final = 30.0


class Call:
    """One request."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        self.method, self.path = handler.command, parts.path
        self.query = dict(parse_qsl(parts.query))
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.body = handler.rfile.read(int(self.headers.get("content-length", "0")))


class HttpsServer:
    """Serves routes over TLS (or plainly, for what a runner reaches inside its own machine)."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        outer = self
        self.routes: dict[str, Route] = {}
        self.seen: Counter[str] = Counter()
        self.seen_at: dict[str, list[float]] = {}
        self.stopped = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def answer(self) -> None:
                outer._answer(self)

            do_GET = do_POST = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            # The handshake belongs to the connection's own thread: a silent client holds up nobody.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        call = Call(handler)
        self.seen[call.path] += 1
        self.seen_at.setdefault(call.path, []).append(time.monotonic())
        route = self.routes.get(call.path) or self.routes.get("*")
        status, headers, body = route(call) if route else (404, {}, b"")
        try:
            handler.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            return  # the caller hung up


class Issuer:
    """Signs tokens and publishes its keys."""

    def __init__(self, context: ssl.SSLContext, *, path: str = "") -> None:
        self.server = HttpsServer(context)
        self.url = self.server.url + path
        self.jwks_path = f"{path}/.well-known/jwks"
        self.max_age: int | None = 60
        self.down = False
        self.slow_s = 0.0
        self.body: bytes | None = None  # instead of the keys
        self._turn = 0
        self.keys: dict[str, RSAKey] = {}
        self.signing = self.rotate()
        self.server.routes[f"{path}/.well-known/openid-configuration"] = self._discovery
        self.server.routes[self.jwks_path] = self._jwks

    def rotate(self, *, kid: str | None = None, keep: bool = False) -> str:
        """Sign with another key from now on; gives its id."""
        self._turn += 1
        if not keep:
            self.keys = {}
        self.signing = kid or f"key-{self._turn}-{secrets.token_hex(4)}"
        self.keys[self.signing] = _KEYS[self._turn % len(_KEYS)]
        return self.signing

    def sign(self, claims: Mapping[str, object], *, kid: str | None = None, **header: object) -> str:
        """A token by the current key."""
        head = {"alg": "RS256", "typ": "JWT", "kid": kid or self.signing, **header}
        return jws.serialize_compact(head, json.dumps(claims), self.keys[self.signing], registry=_REGISTRY)

    def stamp(self, audience: str, *, life_s: int = 300) -> dict[str, Any]:
        """Issuer, audience and times, as every token has them."""
        now = int(time.time())
        return {"iss": self.url, "aud": audience, "iat": now, "nbf": now, "exp": now + life_s}

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.server.seen[self.jwks_path]

    def close(self) -> None:
        """Stop."""
        self.server.close()

    def _discovery(self, call: Call) -> Answer:
        if self.down:
            return 503, {}, b""
        return as_json({"issuer": self.url, "jwks_uri": self.server.url + self.jwks_path})

    def _jwks(self, call: Call) -> Answer:
        if self.slow_s:
            self.server.stopped.wait(min(self.slow_s, _LONGEST_WAIT_S))
        if self.down:
            return 503, {}, b""
        if self.body is not None:
            return 200, {}, self.body
        keys = [
            {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in self.keys.items()
        ]
        headers = {} if self.max_age is None else {"cache-control": f"public, max-age={self.max_age}"}
        status, _, body = as_json({"keys": keys})
        return status, headers, body


def as_json(value: object, status: int = 200) -> Answer:
    """A JSON answer."""
    return status, {"content-type": "application/json"}, json.dumps(value).encode()
