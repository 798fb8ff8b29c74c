"""`POST /v1/sessions` and `/resume`: evidence in, a session with its credentials out.

Secrets leave in this one answer. The repetition of an open, under its idempotency key, gets
the session and no secrets.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Annotated

from fastapi import Header
from starlette.requests import Request
from starlette.responses import Response

from sojourn.core.errors import Invalid
from sojourn.core.ids import SESSION, SessionId, to_uuid
from sojourn.core.session import Session, State, Task
from sojourn.core.window import show
from sojourn.faces.http import approvals, views
from sojourn.faces.http.callers import find, holder, no_such_session
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.doors import Activation, Opening, OpenRequest
from sojourn.faces.http.peer import presented
from sojourn.faces.http.schemas import EvidenceBody, OpenBody, ResumeBody
from sojourn.ports.attestor import Evidence

_LONGEST_KEY = 255
_BY_CERTIFICATE = "mtls"


async def open_session(
    request: Request,
    body: OpenBody,
    idempotency_key: Annotated[str | None, Header(max_length=_LONGEST_KEY, pattern=r"^[\x21-\x7e]+$")] = None,
) -> Response:
    """Open a session: recognised, approved, credentials made, tokens signed."""
    desk = desk_of(request)
    opening = await _approve(request, desk, body)
    if opening.session.state is State.REQUESTED:
        return await approvals.waiting(desk, opening.session)
    if opening.repeated:
        return views.reply({"session": views.session(opening.session), "secret_spent": True})
    activation = await desk.verbs.activate(opening.session)
    return views.reply(opened(desk, activation), 201)


async def _approve(request: Request, desk: Desk, body: OpenBody) -> Opening:
    held = holder(request)
    desk.replays.note(held.once, desk.clock.now())
    asked = OpenRequest(
        evidence=evidence_of(request, body.evidence),
        task=Task(body.task.kind, body.task.ref),
        grants=tuple(body.grants),
        duration=None if body.duration_s is None else timedelta(seconds=body.duration_s),
        context=body.context,
        key=held.thumbprint,
        once=(held.once,),
        idempotency=idempotency_of(request),
        request_hash=_digest(body, held.thumbprint),
        supersedes=_predecessor(body),
    )
    return await desk.verbs.open_session(asked)


async def resume(request: Request, session_id: str, body: ResumeBody) -> Response:
    """Thaw a suspended session, by its own key and with fresh evidence."""
    desk = desk_of(request)
    held = holder(request)
    desk.replays.note(held.once, desk.clock.now())
    session: Session = await find(desk, session_id)
    if session.key != held.thumbprint:
        raise no_such_session()
    activation = await desk.verbs.resume(
        session.id, evidence_of(request, body.evidence), held.thumbprint, (held.once,)
    )
    return views.reply(opened(desk, activation))


async def activate(request: Request, session_id: str, body: ResumeBody) -> Response:
    """Come back for a session that people have approved, by its own key and with fresh evidence."""
    desk = desk_of(request)
    held = holder(request)
    desk.replays.note(held.once, desk.clock.now())
    session: Session = await find(desk, session_id)
    if session.key != held.thumbprint:
        raise no_such_session()
    verb = desk.verbs.governance.activate
    activation = await verb(session.id, evidence_of(request, body.evidence), held.thumbprint, (held.once,))
    return views.reply(opened(desk, activation))


def _predecessor(body: OpenBody) -> SessionId | None:
    if body.supersedes is None:
        return None
    to_uuid(SESSION, body.supersedes)
    return SessionId(body.supersedes)


def evidence_of(request: Request, body: EvidenceBody) -> Evidence:
    """What was presented, in our words; a certificate is what the connection showed, never said."""
    shown = presented(request, desk_of(request).peers) if body.type == _BY_CERTIFICATE else None
    if shown is None:
        return Evidence(body.type, body.assertion, body.client or "")
    return Evidence(body.type, body.assertion, body.client or "", shown.der, shown.chain)


def idempotency_of(request: Request) -> str | None:
    """The caller's idempotency key, if it gave one.

    Raises:
        Invalid: code `invalid_request`.
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) != 1 or not 1 <= len(keys[0]) <= _LONGEST_KEY or not _visible(keys[0]):
        raise Invalid(
            "invalid_request", f"expected one `Idempotency-Key` of 1 to {_LONGEST_KEY} visible characters"
        )
    return keys[0]


def _visible(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)


def _digest(body: OpenBody, key: str) -> str:
    """What makes two requests the same: everything but the evidence, which is new each time."""
    asked = {**body.model_dump(exclude={"evidence"}), "key": key}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def opened(desk: Desk, activation: Activation) -> dict[str, object]:
    """A session with everything its workload needs: the one answer that holds secrets."""
    return {
        "session": views.session(activation.session),
        "tokens": views.tokens(activation.tokens),
        "credentials": views.credentials(activation.credentials),
        "server_time": show(desk.clock.now()),
        "beat_every_s": activation.session.beat.every.total_seconds(),
    }
