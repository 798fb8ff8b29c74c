"""`POST /v1/feed`: every revocation after a mark; at once if there is news, else after a second.

A guard that stops hearing answers refuses everything, so an answer always comes, even if it
only says that nothing happened.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sojourn.core.client import Role
from sojourn.faces.http import views
from sojourn.faces.http.callers import with_role
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.limits import FEED_PAGE
from sojourn.faces.http.schemas import FeedBody
from sojourn.ports.store import FeedPage, Mark


async def follow(request: Request, body: FeedBody) -> Response:
    """Answer with every entry after the mark, or with a snapshot."""
    await with_role(request, Role.GUARD)
    desk = desk_of(request)
    mark = None if body.mark is None else Mark(body.mark.epoch, body.mark.n)
    page = await _news(desk, mark)
    return views.reply(views.feed(page, desk.clock.now()))


async def _news(desk: Desk, mark: Mark | None) -> FeedPage:
    page = await desk.store.feed(mark, limit=FEED_PAGE)
    if mark is None or page.entries or page.snapshot or page.mark != mark:
        return page
    with desk.feed_places.take():
        await desk.bell.wait_beyond(mark.n, desk.settings.feed_period.total_seconds())
    return await desk.store.feed(mark, limit=FEED_PAGE)
