"""`POST /v1/login`: a one-time link and a fresh key make an operator."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from sojourn.core.errors import Unauthenticated
from sojourn.faces.http import views
from sojourn.faces.http.callers import holder
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.schemas import LoginBody
from sojourn.jose import VerifyKey


async def login(request: Request, body: LoginBody) -> Response:
    """Spend a one-time link; the key that signed the proof is an operator's from now on."""
    desk = desk_of(request)
    held = holder(request)
    desk.replays.note(held.once, desk.clock.now())
    if VerifyKey.from_jwk(body.jwk.members()).thumbprint != held.thumbprint:
        raise Unauthenticated("bad_proof", "the proof was signed by another key than `jwk`")
    client = await desk.verbs.login(link=body.link, name=body.name, jwk=body.jwk.members(), once=(held.once,))
    member = {
        "client_id": client.id,
        "name": client.name,
        "role": client.role,
        "issuer": desk.settings.issuer,
    }
    return views.reply(member, 201)
