"""WSGI middleware: the same checks, with the feed in a thread of its own.

A streamed answer is re-checked before each piece and broken off when the session is over. WSGI
gives us no way to interrupt an application that is blocked: for that, use ASGI.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import TimeoutError as WaitedTooLong
from typing import Any, Final
from urllib.parse import quote

from sojourn.core.binding import of_certificate
from sojourn.core.errors import SojournError, Unauthenticated, Unavailable
from sojourn.core.revocation import RevocationView
from sojourn.core.usage import FAILED_FROM
from sojourn.guard.asgi import FIRST_HEARING_WITHIN_S, ScopeRule, required_scope
from sojourn.guard.budget import BudgetBook
from sojourn.guard.clock import BootClock
from sojourn.guard.control_plane import CALL_WITHIN_S, ControlPlane
from sojourn.guard.metadata import ResourceMetadata
from sojourn.guard.problems import NONCE, Problem, record, show
from sojourn.guard.profile import GuardProfile
from sojourn.guard.revocation_feed import RevocationFeed
from sojourn.guard.verifier import Access, Call, Rules, Verifier

Environ = dict[str, Any]  # PEP 3333's own type
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_REASONS: Final = {401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}


class FeedThread:
    """Runs a feed, and the book of budgets, on an event loop in a daemon thread."""

    def __init__(self, feed: RevocationFeed, budget: BudgetBook | None = None) -> None:
        self._feed = feed
        self._budget = budget
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sojourn-feed", daemon=True)
        self._hearing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to hear; wait a moment for the first answer."""
        self._thread.start()
        first = self._feed.first_hearing(FIRST_HEARING_WITHIN_S)
        asyncio.run_coroutine_threadsafe(first, self._loop).result(FIRST_HEARING_WITHIN_S + 1.0)

    def stop(self) -> None:
        """Stop hearing."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(FIRST_HEARING_WITHIN_S)

    def learn_keys(self) -> bool:
        """Fetch the issuer's keys, from another thread; whether they were fetched."""
        waiting = asyncio.run_coroutine_threadsafe(self._feed.learn_keys(), self._loop)
        try:
            return waiting.result(2 * CALL_WITHIN_S)
        except WaitedTooLong:
            return False

    def take(self, access: Access, actions: Iterable[str]) -> None:
        """Use one call of the session's budget, from another thread; nothing without budgets.

        Raises:
            Refused: code `budget_spent` or `session_ended`.
            Unavailable: code `no_answer`; nobody can say whether more is left.
        """
        if self._budget is None:
            return
        waiting = asyncio.run_coroutine_threadsafe(self._budget.take(access, actions), self._loop)
        try:
            waiting.result(2 * CALL_WITHIN_S)
        except WaitedTooLong as error:
            waiting.cancel()
            raise Unavailable("no_answer", "nobody can say whether the session's budget has more") from error

    def failed(self, access: Access) -> None:
        """Note, from another thread, that the application answered a call with an error."""
        if self._budget is not None:
            self._loop.call_soon_threadsafe(self._budget.failed, access)

    async def _work(self) -> None:
        if self._budget is None:
            await self._feed.run()
            return
        reporting = asyncio.create_task(self._budget.run(), name="sojourn-usage")
        try:
            await self._feed.run()
        finally:
            reporting.cancel()
            await self._budget.flush()  # what is in hand goes back

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._hearing = self._loop.create_task(self._work())
        try:
            self._loop.run_until_complete(self._hearing)
        except asyncio.CancelledError:
            return  # stop() was called
        finally:
            self._loop.close()

    def _cancel(self) -> None:
        if self._hearing is not None:
            self._hearing.cancel()


class WsgiGuard:
    """Protects a WSGI application; `environ["sojourn"]` holds the `Access`. See `asgi.Guard`."""

    def __init__(
        self,
        app: WsgiApp,
        profile: GuardProfile,
        *,
        base: str,
        require: ScopeRule,
        rules: Rules | None = None,
        budgets: bool = False,
    ) -> None:
        clock = BootClock()
        self._app = app
        self._base = base.rstrip("/")
        self._require = require
        self._metadata = ResourceMetadata(
            self._base, issuer=profile.issuer, audience=profile.audience, require=require
        )
        self.verifier = Verifier(rules or Rules(profile.issuer, profile.audience), RevocationView(), clock)
        feed = RevocationFeed(ControlPlane(profile, clock), self.verifier, clock)
        self.thread = FeedThread(feed, BudgetBook(ControlPlane(profile, clock), clock) if budgets else None)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path = str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))
        if self._metadata.answers(str(environ["REQUEST_METHOD"]), path):
            start_response("200 OK", list(self._metadata.headers))
            return [self._metadata.body]
        try:
            call = self._call(environ)
            access = self._judge(call)
            self.thread.take(access, call.required)
        except SojournError as error:
            record(_split(environ.get("HTTP_AUTHORIZATION")), _split(environ.get("HTTP_DPOP")), error)
            return _refuse(show(error, metadata=self._metadata.address), start_response)
        begin = _giving(start_response, access.next_nonce) if access.next_nonce else start_response
        inner = self._app({**environ, "sojourn": access}, self._counting(begin, access))
        return self._watched(inner, access)

    def _counting(self, start_response: StartResponse, access: Access) -> StartResponse:
        def outward(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            if status[:3].isdecimal() and int(status[:3]) >= FAILED_FROM:
                self.thread.failed(access)
            return start_response(status, headers, *more)

        return outward

    def _judge(self, call: Call) -> Access:
        try:
            return self.verifier.check(call)
        except Unauthenticated as error:
            if error.code != "unknown_kid" or not self.thread.learn_keys():
                raise
        return self.verifier.check(call)

    def _call(self, environ: Mapping[str, Any]) -> Call:
        # Servers join repeated headers with commas; neither a token nor a proof holds one.
        method = str(environ["REQUEST_METHOD"])
        path = (str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))).encode("latin-1")
        return Call(
            method=method,
            url=self._base + quote(path, safe="/-._~!$&'()*+,;=:@"),
            authorization=_split(environ.get("HTTP_AUTHORIZATION")),
            proofs=_split(environ.get("HTTP_DPOP")),
            required=required_scope(self._require, method, path.decode("utf-8", "replace")),
            certificate=_peer(environ),
        )

    def _watched(self, pieces: Iterable[bytes], access: Access) -> Iterator[bytes]:
        try:
            for piece in pieces:
                self.verifier.check_hearing()
                self.verifier.check_standing(access.claims)  # raises: the server drops the connection
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()


def _peer(environ: Mapping[str, Any]) -> str | None:
    """The peer's certificate as the server itself tells of it; no header of the request is believed.

    `SSL_CLIENT_CERT` is Apache's, cheroot's and werkzeug's; gunicorn lends its socket. What TLS thought
    of the chain does not matter: the token names this very certificate (RFC 8705, section 3).
    """
    pem, lent = environ.get("SSL_CLIENT_CERT"), environ.get("gunicorn.socket")
    if isinstance(pem, str) and pem:
        return _binding_of(pem)
    if isinstance(lent, ssl.SSLSocket):
        der = lent.getpeercert(binary_form=True)
        return None if der is None else of_certificate(der)
    return None


def _binding_of(pem: str) -> str | None:
    try:
        return of_certificate(ssl.PEM_cert_to_DER_cert(pem.strip()))
    except ValueError:
        return None


def _giving(start_response: StartResponse, nonce: str) -> StartResponse:
    def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, (NONCE, nonce)], *more)

    return begin


def _split(value: object) -> list[str]:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else []


def _refuse(problem: Problem, start_response: StartResponse) -> list[bytes]:
    start_response(f"{problem.status} {_REASONS[problem.status]}", list(problem.headers))
    return [problem.body]
