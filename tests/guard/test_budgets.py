"""Budgets at both guards: no call without a part in hand, and calls that came to nothing are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sojourn.guard.asgi import Guard
from sojourn.guard.wsgi import WsgiGuard
from tests.guard.world import BASE, Plane, Workload, free_port, running_plane, served

STATUSES = {"/fine": "200 OK", "/missing": "404 Not Found", "/broken": "500 Internal Server Error"}
RULE = {"/": ["stock.read"]}


class Wsgi:
    """A guarded WSGI application, called as a server calls it."""

    def __init__(self, plane: Plane) -> None:
        self.calls = 0
        self.guard = WsgiGuard(self._app, plane.profile, base=BASE, require=RULE, budgets=True)
        self._work = Workload()
        self._token = plane.token(self._work)

    def get(self, path: str) -> str:
        """The status that the guard or the application answers."""
        shown = self._work.headers(self._token, "GET", BASE + path)
        named = {"HTTP_AUTHORIZATION": shown["Authorization"], "HTTP_DPOP": shown["DPoP"]}
        said: list[str] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, **named}
        list(self.guard(environ, lambda status, headers: said.append(status)))
        return said[0]

    def _app(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        self.calls += 1
        start(STATUSES[environ["PATH_INFO"]], [])
        return [b""]


@contextmanager
def guarded(plane: Plane) -> Iterator[Wsgi]:
    wsgi = Wsgi(plane)
    wsgi.guard.thread.start()
    try:
        yield wsgi
    finally:
        wsgi.guard.thread.stop()


def totals(plane: Plane) -> tuple[int, int]:
    """Calls and failed ones, as they were reported."""
    calls = sum(one["used"]["calls"] for one in plane.reports)
    return calls, sum(one["failed"] for one in plane.reports)


def test_the_wsgi_guard_lets_nobody_beyond_the_budget_and_reports_what_failed() -> None:
    with running_plane() as plane:
        plane.calls_left = 3
        with guarded(plane) as wsgi:
            said = [wsgi.get(path) for path in ("/fine", "/missing", "/broken", "/fine", "/fine")]

    assert [one[:3] for one in said] == ["200", "404", "500", "403", "403"]
    assert wsgi.calls == 3 and totals(plane) == (3, 2)


def test_a_session_without_a_budget_is_counted_by_the_wsgi_guard() -> None:
    with running_plane() as plane, guarded(plane) as wsgi:
        assert wsgi.get("/fine") == "200 OK"

    assert totals(plane) == (1, 0) and plane.reports[0]["actions"] == {"stock.read": 1}


def test_a_wsgi_guard_that_cannot_ask_lets_nobody_in() -> None:
    with running_plane() as plane:
        plane.calls_left = 3
        with guarded(plane) as wsgi:
            plane.silent = True
            said = wsgi.get("/fine")
            plane.silent = False

    assert said.startswith("503") and wsgi.calls == 0


async def _answer(request: Request) -> Response:
    return Response(status_code=int(STATUSES[request.url.path][:3]))


def test_the_asgi_guard_reports_what_failed() -> None:
    app = Starlette(routes=[Route(path, _answer) for path in STATUSES])
    work, port = Workload(), free_port()
    base = f"http://127.0.0.1:{port}"
    with running_plane() as plane:
        plane.calls_left = 3
        guard = Guard(app, plane.profile, base=base, require=RULE, budgets=True)
        token = plane.token(work)
        with served(guard, port):
            said = [
                httpx2.get(base + path, headers=work.headers(token, "GET", base + path)).status_code
                for path in ("/fine", "/missing", "/broken", "/fine")
            ]

    assert said == [200, 404, 500, 403] and totals(plane) == (3, 2)
