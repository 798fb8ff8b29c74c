"""A small control plane with real signatures over real HTTP, and what tests need to call a guard."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sojourn.core.proof import ath_of
from sojourn.core.token import AccessClaims, to_json
from sojourn.core.window import show
from sojourn.guard.profile import GuardProfile
from sojourn.jose import (
    Es256Key,
    open_client_assertion,
    sign_proof,
    verify_client_assertion,
    verify_proof,
)

AUDIENCE = "https://shop.example"
BASE = "http://shop.example"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Workload:
    """A session's key, and the requests it signs."""

    key: Es256Key = field(default_factory=Es256Key.generate)
    count: int = 0

    def proof(self, token: str, method: str, url: str, **changes: Any) -> str:
        self.count += 1
        at = changes.pop("now", None) or now()
        return sign_proof(self.key, method, url, at, jti=f"j{self.count}-{id(self)}", ath=ath_of(token))

    def headers(self, token: str, method: str, url: str) -> dict[str, str]:
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(token, method, url)}


def claims_for(workload: Workload, issuer: str, **changes: Any) -> AccessClaims:
    at = now()
    given: dict[str, Any] = {
        "issuer": issuer,
        "subject": "cli_w",
        "audience": AUDIENCE,
        "token_id": "t1",
        "issued_at": at,
        "expires_at": at + timedelta(seconds=300),
        "key": workload.key.thumbprint,
        "scope": frozenset({"stock.read"}),
        "sid": "ses_1",
        "generation": 1,
        "ancestors": (),
        "epoch": 1,
        "mark": 0,
        "task": "demo:1",
        "owner": "own_1",
        "charter": "demo@1",
    }
    return AccessClaims(**{**given, **changes})


def sign_token(key: Es256Key, claims: AccessClaims) -> str:
    return key.sign({"typ": "at+jwt", "kid": key.thumbprint}, to_json(claims))


class Plane:
    """The fake control plane; its fields are its faults."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = Es256Key.generate()
        self.guard_key = Es256Key.generate()
        self.epoch, self.n = 1, 0
        self.entries: list[dict[str, object]] = []
        self.silent = False
        self.garbage = False
        self.clock_off = timedelta(0)
        self.feed_questions = 0
        self.calls_left: int | None = None  # of every budget; None: nothing is limited
        self.reports: list[dict[str, Any]] = []

    @property
    def profile(self) -> GuardProfile:
        return GuardProfile(self.issuer, "cli_g", AUDIENCE, self.guard_key)

    def end(self, sid: str, *, min_gen: int | None = None, kind: str = "session") -> None:
        self.n += 1
        self.entries.append({"n": self.n, "kind": kind, "id": sid, "min_gen": min_gen})

    def token(self, workload: Workload, **changes: Any) -> str:
        return sign_token(self.key, claims_for(workload, self.issuer, **changes))

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/oauth2/jwks", self._keys),
                Route("/oauth2/token", self._token, methods=["POST"]),
                Route("/v1/feed", self._feed, methods=["POST"]),
                Route("/v1/usage", self._usage, methods=["POST"]),
            ]
        )

    async def _keys(self, request: Request) -> Response:
        await self._maybe_swallow()
        return JSONResponse(
            {"keys": [{**self.key.jwk, "kid": self.key.thumbprint, "alg": "ES256", "use": "sig"}]}
        )

    async def _token(self, request: Request) -> Response:
        await self._maybe_swallow()
        form = dict(parse_qsl((await request.body()).decode()))
        verify_client_assertion(
            open_client_assertion(form["client_assertion"]),
            self.guard_key.public,
            self.issuer,
            client_id="cli_g",
            now=now(),
        )
        assert verify_proof(request.headers["dpop"]).thumbprint == self.guard_key.thumbprint
        return JSONResponse(
            {"access_token": "guard-token", "token_type": "DPoP", "expires_in": 300, "scope": "feed"}
        )

    async def _usage(self, request: Request) -> Response:
        await self._maybe_swallow()
        body = await request.json()
        self.reports += body.get("reports", [])
        wanted = body.get("reserve")
        if wanted is None or self.calls_left is None:
            reserved = wanted and {"chunk": None, "given": wanted["want"], "limited": False}
            return JSONResponse({"taken": [], "reserved": reserved})
        given = min(self.calls_left, wanted["want"]["calls"])
        if not given:
            return JSONResponse({"code": "budget_spent", "detail": "none left"}, 403)
        self.calls_left -= given
        part = {"chunk": f"chunk-{self.calls_left}", "given": {"calls": given}, "limited": True}
        return JSONResponse({"taken": [], "reserved": part})

    async def _feed(self, request: Request) -> Response:
        self.feed_questions += 1
        await self._maybe_swallow()
        assert request.headers["authorization"] == "DPoP guard-token"
        assert verify_proof(request.headers["dpop"]).claims["ath"] == ath_of("guard-token")
        mark = (await request.json())["mark"]
        snapshot = mark is None or mark["epoch"] != self.epoch
        since = -1 if snapshot else mark["n"]
        for _ in range(100):
            if snapshot or self.n != since:
                break
            await asyncio.sleep(0.01)
        if self.garbage:
            return Response("<html>", media_type="text/html")
        await self._maybe_swallow()
        return JSONResponse(
            {
                "epoch": self.epoch,
                "n": self.n,
                "server_time": show(now() + self.clock_off),
                "snapshot": snapshot,
                "entries": [entry for entry in self.entries if int(str(entry["n"])) > since],
            }
        )

    async def _maybe_swallow(self) -> None:
        """A question that arrives in silence is lost: it is not answered after healing either."""
        if self.silent:
            await asyncio.sleep(3600)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(app: Any, port: int, **options: Any) -> Iterator[None]:
    """Serve an ASGI application by uvicorn in a thread; at the end nobody is waited for."""
    config = uvicorn.Config(app, port=port, log_level="critical", timeout_graceful_shutdown=0, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, 10)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def running_plane() -> Iterator[Plane]:
    port = free_port()
    plane = Plane(f"http://127.0.0.1:{port}")
    with served(plane.app(), port):
        yield plane


def until(happened: Callable[[], bool], within_s: float) -> float:
    """Poll until it happened; the seconds it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < within_s, f"did not happen within {within_s} s"
        time.sleep(0.005)
    return time.monotonic() - began


def jwk_set(key: Es256Key) -> Mapping[str, object]:
    return {"keys": [{**key.jwk, "kid": key.thumbprint}]}
