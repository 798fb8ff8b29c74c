"""The token endpoint: one form, three grants, errors in OAuth's form. No refresh tokens, no secrets.

`client_credentials` and `jwt-bearer` are in `oauth_sessions`, token exchange in `oauth_exchange`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fastapi import Request
from starlette.responses import Response

from sojourn.core.errors import Invalid, SojournError
from sojourn.faces.http.oauth_exchange import exchange
from sojourn.faces.http.oauth_form import Form, read_form
from sojourn.faces.http.oauth_sessions import client_credentials, jwt_bearer
from sojourn.faces.http.problems import oauth_error

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant

GRANTS: Final[Mapping[str, Callable[[Request, Form], Awaitable[Response]]]] = {
    "client_credentials": client_credentials,
    JWT_BEARER: jwt_bearer,
    TOKEN_EXCHANGE: exchange,
}


async def token(request: Request) -> Response:
    """Give a token for who the caller is, or for another token of its session (RFC 6749, 7523, 8693)."""
    kind = ""
    try:
        form = read_form(await request.body())
        kind = form.need("grant_type")
        grant = GRANTS.get(kind)
        if grant is None:
            raise Invalid("unsupported_grant_type", f"expected one of {', '.join(GRANTS)}")
        return await grant(request, form)
    except SojournError as error:
        # An assertion that is itself the grant is an invalid grant, not an invalid client.
        return oauth_error(error, unauthenticated="invalid_grant" if kind == JWT_BEARER else "invalid_client")
