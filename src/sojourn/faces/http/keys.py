"""Our signing keys: look at them, rotate one, revoke one. Operators only; private halves never show."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from sojourn.core.errors import Invalid
from sojourn.core.signing_key import Purpose
from sojourn.faces.http import views
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.desk import desk_of


async def list_keys(request: Request, caller: ReadingOperator) -> Response:
    """List the signing keys, oldest first."""
    found = await desk_of(request).store.signing_keys()
    return views.reply({"keys": [views.signing_key(key) for key in found]})


async def rotate_key(request: Request, caller: WritingOperator, purpose: str) -> Response:
    """Let the next key of a purpose sign from now on; nothing signed before is refused."""
    try:
        chosen = Purpose(purpose)
    except ValueError as error:
        raise Invalid("unknown_purpose", f"expected one of {', '.join(Purpose)}") from error
    return views.reply(views.signing_key(await desk_of(request).verbs.rotate_key(chosen)))


async def revoke_key(request: Request, caller: WritingOperator, kid: str) -> Response:
    """Refuse everything a key ever signed, at guards within a second."""
    revoked = await desk_of(request).verbs.revoke_key(kid, by=f"client:{caller.name}")
    return views.reply(views.signing_key(revoked))
