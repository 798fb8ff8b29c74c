"""The way past the framework for what is called most: path, endpoint, answer.

Routing, dependencies, exit stacks and error handlers cost more than the work of such a route. It
stays in the table and in the OpenAPI document; here it is only found by its path, as it stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]
METHOD: Final = "POST"


class Straight:
    """Answers POST at `routes` itself; everything else, other methods too, is the app's.

    Its endpoints answer every `SojournError` themselves; a defect goes on to the outermost layer.
    """

    def __init__(self, app: ASGIApp, routes: Mapping[str, Route]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None or scope["method"] != METHOD:
            await self._app(scope, receive, send)
            return
        scope["route"] = route  # what the log and the pace know it by
        endpoint: Endpoint = route.endpoint
        answer = await endpoint(Request(scope, receive))
        await answer(scope, receive, send)
