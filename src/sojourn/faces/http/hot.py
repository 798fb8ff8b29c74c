"""A route class for what is called most: body to model, endpoint, answer, and nothing between.

FastAPI documents these routes like all others; calling them skips its dependency machinery,
which costs more than the work itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from inspect import signature
from typing import Any, get_type_hints

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[..., Awaitable[Response]]


class HotRoute(APIRoute):
    """Endpoints take `request`, then path parameters by name, then one model named `body`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What Starlette calls."""
        endpoint: Endpoint = self.endpoint
        model: type[BaseModel] = get_type_hints(endpoint)["body"]
        optional = signature(endpoint).parameters["body"].default is not signature(endpoint).empty

        async def answer(request: Request) -> Response:
            content = await request.body()
            if not content and optional:
                content = b"{}"
            return await endpoint(request, **request.path_params, body=_parse(model, content))

        return answer


class PlainRoute(APIRoute):
    """Endpoints take the request alone and read it themselves: forms of OAuth."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What Starlette calls."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def _parse(model: type[BaseModel], content: bytes) -> BaseModel:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_url=False)) from error
