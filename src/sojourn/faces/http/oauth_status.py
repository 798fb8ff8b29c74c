"""Status lists for checkers that follow no feed: one signed list, and where all of them are."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from sojourn.core.errors import Invalid, NotFound
from sojourn.faces.http import views
from sojourn.faces.http.desk import desk_of

MEDIA_TYPE: Final = "application/statuslist+jwt"
_NAME: Final = re.compile(r"[0-9]{1,9}-[0-9]{8}-[0-9]{1,6}")
_ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}


async def status_list(request: Request, name: str) -> Response:
    """A status list (IETF Token Status List): two bits a session, signed; as it is now.

    Raises:
        Invalid: code `no_history`; a list of another time is asked for (draft 21, section 8.4).
    """
    if "time" in request.query_params:  # the list of now must not be taken for one of then
        raise Invalid(
            "no_history", "only the list of now is served; an evidence bundle tells of earlier times"
        )
    if not _NAME.fullmatch(name):
        raise NotFound("not_found", "there is no such status list")
    jwt = await desk_of(request).verbs.write_status(name)
    return Response(jwt, headers=_ANY_ORIGIN, media_type=MEDIA_TYPE)


async def status_lists(request: Request) -> Response:
    """The addresses of all status lists in which a session has not ended."""
    answer = views.reply({"status_lists": list(await desk_of(request).verbs.write_status.lists())})
    answer.headers.update(_ANY_ORIGIN)
    return answer
