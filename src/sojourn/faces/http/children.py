"""`POST /v1/sessions/{session_id}/children`: a session opens one for a sub-agent, within its own.

The request is signed by the parent's key; the body carries a second proof, of the same request,
by the key the child will be bound to.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from sojourn.core.family import ChildWish
from sojourn.core.proof import Demand
from sojourn.faces.http import views
from sojourn.faces.http.callers import held_by, session_holder, url_of
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.doors import ChildRequest
from sojourn.faces.http.opening import idempotency_of, opened
from sojourn.faces.http.schemas import ChildBody


async def open_child(request: Request, session_id: str, body: ChildBody) -> Response:
    """Open a child session, within this one and bound to a key of its own."""
    desk = desk_of(request)
    viewed = await session_holder(request, session_id)
    # The parent's proof answers for the request, with a nonce where one is wanted; this one for the key.
    held = held_by(request, body.key_proof, Demand(request.method, url_of(request, desk)))
    desk.replays.note(held.once, desk.clock.now())
    asked = ChildRequest(
        key=held.thumbprint,
        ref=body.ref,
        wish=ChildWish(
            tuple(body.grants),
            tuple(body.drop_actions),
            None if body.duration_s is None else timedelta(seconds=body.duration_s),
        ),
        context=body.context,
        once=(held.once,),  # the parent's proof was spent when it was recognised
        idempotency=idempotency_of(request),
        request_hash=_digest(body, held.thumbprint),
    )
    opening = await desk.verbs.open_child(viewed.session.id, viewed.session.key, asked)
    if opening.repeated:
        return views.reply({"session": views.session(opening.session), "secret_spent": True})
    return views.reply(opened(desk, await desk.verbs.activate(opening.session)), 201)


def _digest(body: ChildBody, key: str) -> str:
    """What makes two requests the same: everything but the proof, which is new each time."""
    asked = {**body.model_dump(exclude={"key_proof"}), "key": key}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
