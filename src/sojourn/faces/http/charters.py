"""Charters: apply a document, list, show the newest version."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from sojourn.core.errors import NotFound
from sojourn.faces.http import charter_views, views
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.charter_schemas import CharterBody
from sojourn.faces.http.desk import desk_of


async def apply_charter(request: Request, caller: WritingOperator, body: CharterBody) -> Response:
    """Apply a charter: a new version if it differs from the newest."""
    document = body.model_dump(exclude_unset=True)
    charter, changed = await desk_of(request).verbs.apply_charter(document, by=caller.name)
    return views.reply({"name": charter.name, "number": charter.number, "changed": changed})


async def list_charters(request: Request, caller: ReadingOperator) -> Response:
    """List the charters in force."""
    return views.reply(
        {"charters": [charter_views.charter(c) for c in await desk_of(request).store.charters()]}
    )


async def show_charter(request: Request, caller: ReadingOperator, name: str) -> Response:
    """Show the newest version of a charter."""
    charter = await desk_of(request).store.charter(name)
    if charter is None:
        raise NotFound("not_found", "there is no such charter")
    return views.reply(charter_views.charter(charter))
