"""Introspection (RFC 7662, RFC 9701) and revocation (RFC 7009).

Whatever is wrong with a token, and whoever may not know of it, gets the same eighteen bytes.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from sojourn.core.client import Client
from sojourn.core.errors import Invalid, SojournError, Unauthenticated
from sojourn.core.signing_key import Purpose
from sojourn.core.token import AccessClaims, to_json
from sojourn.core.window import to_micros
from sojourn.faces.http import views
from sojourn.faces.http.callers import holder
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.oauth_client import asserted, who_asks
from sojourn.faces.http.oauth_form import Form, read_form
from sojourn.faces.http.oauth_sessions import kind_of
from sojourn.faces.http.peer import presented
from sojourn.faces.http.problems import oauth_error

SIGNED: Final = "application/token-introspection+jwt"
INACTIVE: Final = b'{"active":false}'
# What of a token its audience may know; the rest is for our own guards.
_TOLD: Final = (
    "iss",
    "sub",
    "client_id",
    "aud",
    "exp",
    "iat",
    "jti",
    "cnf",
    "scope",
    "sid",
    "act",
    "may_act",
    "task",
    "owner",
    "charter",
)


async def introspect(request: Request) -> Response:
    """Say whether a token is honoured now, to its audience, its client or an operator."""
    try:
        form = read_form(await request.body())
        asker = await who_asks(request, form)
        claims = await desk_of(request).verbs.inspect(form.need("token"), asker)
        if SIGNED in request.headers.get("accept", ""):
            return _signed(desk_of(request), asker, claims)
    except SojournError as error:
        return oauth_error(error)
    if claims is None:
        return Response(INACTIVE, media_type="application/json")
    return views.reply(describe(claims))


def _signed(desk: Desk, asker: Client, claims: AccessClaims | None) -> Response:
    """The answer as a JWT for the asker alone (RFC 9701), by a key that signs nothing else.

    It has no `sub` and no `exp`, so it can be taken for no token.
    """
    statement = {
        "iss": desk.settings.issuer,
        "aud": asker.id,
        "iat": to_micros(desk.clock.now()) // 1_000_000,
        "token_introspection": {"active": False} if claims is None else describe(claims),
    }
    jwt = desk.keys.signer(Purpose.INTROSPECTION).sign({"typ": "token-introspection+jwt"}, statement)
    return Response(jwt, media_type=SIGNED)


def describe(claims: AccessClaims) -> dict[str, object]:
    """An active token, as its audience is told of it."""
    told = to_json(claims)
    return {
        "active": True,
        "token_type": kind_of(claims.key),
        "nbf": told["iat"],
        **{name: told[name] for name in _TOLD if name in told},
    }


async def revoke(request: Request) -> Response:
    """End the session behind a token, and every session below it."""
    try:
        form = read_form(await request.body())
        await _revoke(request, form)
    except SojournError as error:
        return oauth_error(error)
    return Response("", media_type="text/plain")


async def _revoke(request: Request, form: Form) -> None:
    desk = desk_of(request)
    client: Client | None = None
    key: str | None = None
    by_proof = "dpop" in request.headers
    if "authorization" in request.headers or asserted(form) or (form.get("client_id") and not by_proof):
        client = await who_asks(request, form)
    elif by_proof or presented(request, desk.peers) is not None:
        held = holder(request)
        await desk.replays.spend(held.once)
        key = held.thumbprint
    else:
        raise Unauthenticated("bad_evidence", "expected a client assertion, or a proof by the token's key")
    token = form.need("token")
    if desk.verbs.own_tokens.is_clients(token):
        raise Invalid("unsupported_token_type", "a client's own token ends with the client, in minutes")
    await desk.verbs.revoke(token, client=client, key=key)
