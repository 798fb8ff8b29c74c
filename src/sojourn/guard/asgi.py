"""ASGI middleware: every HTTP request and WebSocket is judged before the application sees it.

An accepted request finds its `Access` under `scope["sojourn"]`. Nothing passes by default: a
path without a rule needs a token too, only not a scope.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sojourn.core.binding import of_certificate
from sojourn.core.errors import SojournError, Unauthenticated
from sojourn.core.revocation import RevocationView
from sojourn.core.usage import FAILED_FROM
from sojourn.guard.budget import BudgetBook
from sojourn.guard.clock import BootClock, GuardClock
from sojourn.guard.control_plane import ControlPlane
from sojourn.guard.metadata import ResourceMetadata
from sojourn.guard.problems import record, show
from sojourn.guard.profile import GuardProfile
from sojourn.guard.revocation_feed import RevocationFeed
from sojourn.guard.streams import CLOSE_CODE, App, GuardedCall, Message, Receive, Scope, Send, answer
from sojourn.guard.verifier import Access, Call, Rules, Verifier

FIRST_HEARING_WITHIN_S: Final = 2.0  # then start anyway, and refuse until something is heard
_DENIAL: Final = "websocket.http.response"  # ASGI extension: a real status for a refused handshake

ScopeRule = Mapping[str, Iterable[str]] | Callable[[str, str], Iterable[str]]


class Guard:
    """Protects an ASGI application.

    `require` maps a path to the scope it needs (the longest path that is a prefix by whole
    segments counts), or is a function of method and path. `base` is the public address of the
    application, without a trailing slash: proofs are made for it, and the Host header is not asked.
    With `budgets` each request first takes a call of its session's budget, and use is reported.
    """

    def __init__(
        self,
        app: App,
        profile: GuardProfile,
        *,
        base: str,
        require: ScopeRule,
        rules: Rules | None = None,
        clock: GuardClock | None = None,
        budgets: bool = False,
    ) -> None:
        ticking = clock or BootClock()
        self._app = app
        self._base = base.rstrip("/")
        self._require = require
        self._metadata = ResourceMetadata(
            self._base, issuer=profile.issuer, audience=profile.audience, require=require
        )
        self.verifier = Verifier(rules or Rules(profile.issuer, profile.audience), RevocationView(), ticking)
        plane = ControlPlane(profile, ticking)
        self.feed = RevocationFeed(plane, self.verifier, ticking)
        self.budget = BudgetBook(ControlPlane(profile, ticking), ticking) if budgets else None
        self._reporting: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        match scope["type"]:
            case "lifespan":
                await self._live(scope, receive, send)
            case "http" | "websocket":
                await self._serve(scope, receive, send)
            case kind:
                raise Unauthenticated("no_token", f"`{kind}` is not guarded and so not served")

    async def start(self) -> None:
        """Begin to hear, and give the first hearing a moment; done by the server's lifespan."""
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self.feed.run(), name="sojourn-feed")
            if self.budget is not None:
                self._reporting = asyncio.create_task(self.budget.run(), name="sojourn-usage")
            await self.feed.first_hearing(FIRST_HEARING_WITHIN_S)

    async def stop(self) -> None:
        """Stop hearing: from `deaf_after` on nobody is let in."""
        if self._reporting is not None and self.budget is not None:
            self._reporting.cancel()
            await self.budget.flush()
        task, self._hearing = self._hearing, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=FIRST_HEARING_WITHIN_S)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.start()
        try:
            await self._app(scope, receive, send)
        finally:
            await self.stop()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._metadata.answers(scope["method"], scope["path"]):
            await _describe(send, self._metadata)
            return
        if self._hearing is None or self._hearing.done():
            await self.start()  # a server without lifespan
        try:
            access = await self._judge(scope)
            if self.budget is not None:
                await self.budget.take(access, self._call(scope).required)
        except SojournError as error:
            record(_all(scope["headers"], b"authorization"), _all(scope["headers"], b"dpop"), error)
            await _refuse(scope, receive, send, error=error, metadata=self._metadata.address)
            return
        inner = {**scope, "sojourn": access}
        counted = send if self.budget is None else _counting(send, access, self.budget)
        await GuardedCall(access, self.verifier, receive, counted).run(self._app, inner, self.feed)

    async def _judge(self, scope: Scope) -> Access:
        call = self._call(scope)
        try:
            return self.verifier.check(call)
        except Unauthenticated as error:
            if error.code != "unknown_kid" or not await self.feed.learn_keys():
                raise
        return self.verifier.check(call)

    def _call(self, scope: Scope) -> Call:
        method = str(scope.get("method", "GET"))  # a WebSocket's handshake is a GET
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        raw = scope.get("raw_path")
        path = raw.decode("latin-1") if isinstance(raw, bytes) else str(scope["path"])
        return Call(
            method=method,
            url=self._base + path.partition("?")[0],
            authorization=_all(headers, b"authorization"),
            proofs=_all(headers, b"dpop"),
            required=required_scope(self._require, method, str(scope["path"])),
            certificate=_peer(scope),
        )


def _counting(send: Send, access: Access, budget: BudgetBook) -> Send:
    """`send`, which notes an answer that is an error."""

    async def outward(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= FAILED_FROM:
            budget.failed(access)
        await send(message)

    return outward


def _peer(scope: Scope) -> str | None:
    """The peer's certificate as the ASGI extension `tls` has it; no header is believed."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    return of_certificate(ssl.PEM_cert_to_DER_cert(chain[0])) if chain else None


def required_scope(rule: ScopeRule, method: str, path: str) -> frozenset[str]:
    """What `rule` asks of a request; the longest matching prefix decides."""
    if not isinstance(rule, Mapping):
        return frozenset(rule(method, path))
    matching = [prefix for prefix in rule if _covers(prefix, path)]
    return frozenset(rule[max(matching, key=len)]) if matching else frozenset()


def _covers(prefix: str, path: str) -> bool:
    whole = prefix.rstrip("/")
    return path == whole or path.startswith(whole + "/")


def _all(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


async def _describe(send: Send, metadata: ResourceMetadata) -> None:
    headers = [(name.encode(), value.encode()) for name, value in metadata.headers]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": metadata.body})


async def _refuse(scope: Scope, receive: Receive, send: Send, *, error: SojournError, metadata: str) -> None:
    if scope["type"] == "http":
        await answer(send, error, metadata=metadata)
        return
    await receive()  # websocket.connect
    if _DENIAL not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": CLOSE_CODE, "reason": error.code})
        return
    problem = show(error, metadata=metadata)
    headers = [(name.encode(), value.encode()) for name, value in problem.headers]
    await send({"type": f"{_DENIAL}.start", "status": problem.status, "headers": headers})
    await send({"type": f"{_DENIAL}.body", "body": problem.body})
