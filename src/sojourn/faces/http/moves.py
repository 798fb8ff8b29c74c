"""What moves a session that exists: beat, complete, narrow, kill, suspend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import Request
from starlette.responses import Response

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Refused
from sojourn.core.session import Session, State
from sojourn.core.window import parse, show
from sojourn.faces.http import views
from sojourn.faces.http.callers import Changer, SessionHolder, Stopper, Viewed, session_holder
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.doors import Token
from sojourn.faces.http.opening import evidence_of
from sojourn.faces.http.problems import problem
from sojourn.faces.http.schemas import BeatBody, CompleteBody, EnterBody, NarrowBody, StopBody

_ENDINGS: Final = frozenset({"session_ended", "context_changed", "job_finished"})


async def beat(request: Request, session_id: str, body: BeatBody = BeatBody()) -> Response:  # noqa: B008 - frozen
    """Say that the workload lives; get fresh tokens."""
    desk = desk_of(request)
    viewed = await session_holder(request, session_id)
    try:
        evidence = None if body.evidence is None else evidence_of(request, body.evidence)
        beaten = await desk.verbs.beat(
            viewed.session.id, viewed.session.key, renew=body.renew, evidence=evidence
        )
    except Refused as error:
        return await _refused(request, viewed, error)
    return views.reply(
        {
            "session": views.session(beaten.session),
            "tokens": views.tokens(beaten.tokens),
            "server_time": show(desk.clock.now()),
            "beat_every_s": beaten.session.beat.every.total_seconds(),
        }
    )


async def _refused(request: Request, viewed: Viewed, error: Refused) -> Response:
    if error.code not in _ENDINGS:
        raise error
    session = await desk_of(request).store.session(viewed.session.id) or viewed.session
    return problem(error, {"reason": session.cause.reason if session.cause else None})


async def complete(request: Request, viewed: SessionHolder, body: CompleteBody | None = None) -> Response:
    """The work is done: take everything away. Returns as soon as the end is committed."""
    finished = body.job_finished if body else None
    ended = await desk_of(request).verbs.complete(
        viewed.session.id, viewed.session.key, job_finished=finished
    )
    return views.reply(views.session(ended))


async def narrow(request: Request, viewed: Changer, body: NarrowBody) -> Response:
    """Give up grants, actions, rights or time; nothing can be added."""
    desk = desk_of(request)
    closes = None if body.closes is None else parse(body.closes)
    session, only_lower = viewed.session, not (body.drop or body.drop_actions or closes)
    if body.lower:
        session = await desk.verbs.governance.lower(session.id, body.lower)
    if not (body.lower and only_lower):
        drop, actions = tuple(body.drop), tuple(body.drop_actions)
        session = await desk.verbs.narrow(session.id, drop, actions, closes)
    return await _shrunk(desk, viewed, session)


async def enter_phase(request: Request, viewed: Changer, body: EnterBody) -> Response:
    """Go on to a phase of the charter: what it does not name is given up."""
    desk = desk_of(request)
    return await _shrunk(desk, viewed, await desk.verbs.governance.enter_phase(viewed.session.id, body.name))


async def _shrunk(desk: Desk, viewed: Viewed, session: Session) -> Response:
    """The session, and for the holder of its key the tokens of its new generation."""
    fresh = await _tokens_after(desk, session) if viewed.client is None else ()
    return views.reply({"session": views.session(session), "tokens": views.tokens(fresh)})


async def _tokens_after(desk: Desk, session: Session) -> Sequence[Token]:
    """What a beat would bring now; a session whose beats bring evidence waits for the next one."""
    if session.state is not State.ACTIVE or session.beat.evidence == "fresh":
        return ()
    return (await desk.verbs.beat(session.id, session.key, renew=False)).tokens


async def kill(request: Request, viewed: Stopper, body: StopBody | None = None) -> Response:
    """End a session now. Asking twice changes nothing."""
    cause = Cause(Reason.KILLED, viewed.source, body.detail if body else "")
    return views.reply(views.session(await desk_of(request).verbs.end(viewed.session.id, cause)))


async def suspend(request: Request, viewed: Stopper, body: StopBody | None = None) -> Response:
    """Freeze a session: tokens refused, logins off, connections cut."""
    cause = Cause(Reason.SUSPENDED, viewed.source, body.detail if body else "")
    return views.reply(views.session(await desk_of(request).verbs.suspend(viewed.session.id, cause)))
