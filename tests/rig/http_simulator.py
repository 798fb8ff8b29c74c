"""A cloud on loopback that lags, lies, throttles, hangs and loses answers, as told.

What a cloud means is in its subclass: `answer` is called for one request at a time. Bounded: in
the size of a request, the number of requests, and the time a connection may be idle.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

_LARGEST: Final = 1 << 20
_MOST_REQUESTS: Final = 20_000
_IDLE_S: Final = 20.0


class Trouble(StrEnum):
    """What goes wrong with one request."""

    THROTTLED = "throttled"  # refused with the cloud's own word for too many
    BROKEN = "broken"  # answered 500, without effect
    LOST = "lost"  # it has its effect, and the connection breaks instead of an answer
    CUT = "cut"  # it has no effect, and the connection breaks
    HELD = "held"  # as cut, and it has its effect whenever it is delivered
    HUNG = "hung"  # it has no effect, and there is no answer until the cloud is stopped
    LIE = "lie"  # answered as done, and not done


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, taken apart."""

    method: str
    path: tuple[str, ...]  # segments, unescaped
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> dict[str, object]:
        """The body as an object; an empty one if there is none."""
        value = json.loads(self.body or b"{}")
        assert isinstance(value, dict)
        return value

    @property
    def bearer(self) -> str:
        """The token the caller showed."""
        return self.headers.get("authorization", "").partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def said(status: int, value: object = None, **headers: str) -> Said:
    """An answer in JSON."""
    return Said(status, b"" if value is None else json.dumps(value).encode(), headers)


@dataclass(slots=True)
class _Planned:
    concerns: Callable[[Asked], bool]
    trouble: Trouble
    times: int


class _Line(BaseHTTPRequestHandler):
    """One connection; what it says is the simulator's to decide."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    raw_requestline: bytes = b""
    simulator: Simulator

    def handle(self) -> None:
        """Answer until one end closes."""
        self.close_connection = False
        while not self.close_connection:
            self.simulator._serve(self)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Simulator:
    """One cloud; `ahead_s` moves its clock, `lag_s` is how long what it took away still works."""

    lie: Said = Said(200)
    throttled: Said = Said(429)

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.lag_s = 0.0
        self.asked: list[Asked] = []
        self._planned: list[_Planned] = []
        self._held: list[Asked] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        line = type("_OwnLine", (_Line,), {"simulator": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), line)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.base = f"http://127.0.0.1:{self.port}"

    def answer(self, asked: Asked) -> Said:
        """What the cloud does and says."""
        raise NotImplementedError

    def now(self) -> float:
        """The cloud's clock, in seconds since 1970."""
        return time.time() + self.ahead_s

    def trouble(
        self, trouble: Trouble, *, times: int = 1, when: Callable[[Asked], bool] = lambda _: True
    ) -> None:
        """Let the next `times` requests that `when` holds for go wrong."""
        self._planned.append(_Planned(when, trouble, times))

    def calm(self) -> None:
        """Nothing more goes wrong."""
        self._planned.clear()

    def deliver(self) -> int:
        """Let what was held arrive, from a client that has gone; how many requests that were."""
        with self._lock:
            delivered, self._held = self._held, []
            for asked in delivered:
                self.answer(asked)
        return len(delivered)

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, line: _Line) -> None:
        try:
            asked = self._read(line)
            if asked is None:
                line.close_connection = True
                return
            answered = self._respond(asked)
            if answered is None:
                line.close_connection = True
                return
            line.send_response(answered.status)
            for name, value in answered.headers.items():
                line.send_header(name.replace("_", "-"), value)
            line.send_header("Content-Length", str(len(answered.body)))
            line.end_headers()
            line.wfile.write(answered.body)
        except OSError:
            line.close_connection = True

    def _read(self, line: _Line) -> Asked | None:
        line.raw_requestline = line.rfile.readline(65537)
        if not line.raw_requestline or not line.parse_request():
            return None
        length = int(line.headers.get("Content-Length") or 0)
        if length > _LARGEST:
            return None
        url = urlsplit(line.path)
        return Asked(
            line.command,
            tuple(unquote(one) for one in url.path.strip("/").split("/")),
            dict(parse_qsl(url.query, keep_blank_values=True)),
            {name.lower(): value for name, value in line.headers.items()},
            line.rfile.read(length),
        )

    def _respond(self, asked: Asked) -> Said | None:
        with self._lock:
            self.asked.append(asked)
            assert len(self.asked) <= _MOST_REQUESTS, "more requests than any test needs"
            trouble = self._trouble_of(asked)
            if trouble in (None, Trouble.LOST):
                answered = self.answer(asked)
                return None if trouble is Trouble.LOST else answered
        if trouble is Trouble.HELD:
            self._held.append(asked)
        if trouble in (Trouble.CUT, Trouble.HELD):
            return None
        if trouble is Trouble.HUNG:
            self._over.wait(_IDLE_S)
            return None
        if trouble is Trouble.LIE:
            return self.lie
        return self.throttled if trouble is Trouble.THROTTLED else Said(500)

    def _trouble_of(self, asked: Asked) -> Trouble | None:
        for plan in self._planned:
            if plan.times and plan.concerns(asked):
                plan.times -= 1
                return plan.trouble
        return None
