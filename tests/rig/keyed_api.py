"""An API that knows one long-lived key: it counts, echoes, and streams for as long as it is let."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

KEY: Final = "key-of-the-api-0123456789abcdef"
_TICK_S: Final = 0.01
_LONGEST_S: Final = 30.0


class KeyedApi:
    """`/echo` tells everything it was sent, `/ticks` streams, `/open` needs no key; the rest just answers."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.used_at: dict[str, list[float]] = defaultdict(list)
        self.streaming: dict[str, int] = defaultdict(int)
        self._over = threading.Event()
        line = type("_OwnLine", (_Line,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), line)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


class _Line(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _LONGEST_S
    api: KeyedApi

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        told = {name.lower(): value for name, value in self.headers.items()}
        self.api.seen.append({"method": self.command, "path": self.path, **told})
        who = told.get("x-who", "")
        if told.get("authorization") != f"Bearer {KEY}" and self.path != "/open":
            self._send(401, b"no key")
            return
        self.api.used_at[who].append(time.time())
        match self.path.partition("?")[0]:
            case "/echo":
                self._send(200, json.dumps({**told, "body": body.decode()}).encode())
            case "/echo-header":
                self._send(200, b"", {"X-Echo": told["authorization"]})
            case "/cookie":
                self._send(200, b"ok", {"Set-Cookie": "sid=standing", "X-Kept": "yes"})
            case "/moved":
                self._send(302, b"", {"Location": "https://elsewhere.example/"})
            case "/ticks":
                self._stream(who)
            case _:
                self._send(200, body or b"ok")

    def _send(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, who: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.api.streaming[who] += 1
        give_up = time.monotonic() + _LONGEST_S
        try:
            while not self.api._over.wait(_TICK_S) and time.monotonic() < give_up:
                self.wfile.write(b"data: tick\n\n")
                self.wfile.flush()
                self.api.used_at[who].append(time.time())
        except OSError:
            return
        finally:
            self.api.streaming[who] -= 1
