"""After a restore: the sessions that wait for an operator's word, and the word."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from sojourn.faces.http import views
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.limits import PAGE_AT_MOST


async def waiting_sessions(request: Request, caller: ReadingOperator) -> Response:
    """List sessions that a restore brought back: none gets a token, for its end may have been lost."""
    return await _reply(request)


async def release_sessions(request: Request, caller: WritingOperator) -> Response:
    """Let the sessions of before the restore go on; kill first what should be over."""
    await desk_of(request).verbs.reconcile_sessions.apply(by=caller.id)
    return await _reply(request)


async def _reply(request: Request) -> Response:
    # One more than is shown tells that there are more.
    found = await desk_of(request).verbs.reconcile_sessions(limit=PAGE_AT_MOST + 1)
    return views.reply({"sessions": list(found[:PAGE_AT_MOST]), "more": len(found) > PAGE_AT_MOST})
