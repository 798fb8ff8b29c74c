"""Reviews of what was done in emergencies: record one, list those that are owed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from sojourn.core.ids import SessionId
from sojourn.core.review import Review
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.callers import ReadingOperator, WritingOperator, find
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.limits import PAGE_AT_MOST
from sojourn.faces.http.schemas import Line, Wire


class ReviewBody(Wire):
    """What was found."""

    note: Line


async def review_session(
    request: Request, caller: WritingOperator, session_id: str, body: ReviewBody
) -> Response:
    """Record that the caller looked at a break-glass session, and what was found."""
    desk = desk_of(request)
    session = await find(desk, session_id)
    done = await desk.verbs.review_session(SessionId(session.id), by=caller.name, note=body.note)
    return views.reply(_view(done))


async def list_reviews(
    request: Request, caller: ReadingOperator, owed: Annotated[bool, Query()] = False
) -> Response:
    """List the reviews of break-glass sessions, the oldest first, or only those still owed."""
    found = await desk_of(request).store.reviews(owed=owed, limit=PAGE_AT_MOST)
    return views.reply({"reviews": [_view(one) for one in found]})


def _view(value: Review) -> dict[str, object]:
    return {
        "session": value.session,
        "charter": value.charter,
        "owner": value.owner,
        "owed_since": show(value.owed_since),
        "done_by": value.done_by,
        "done_at": show(value.done_at) if value.done_at else None,
        "note": value.note,
    }
