"""Sessions that exist: look, list, wait for the end, leases, evidence."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import ConfigDict
from starlette.responses import PlainTextResponse, Response

from sojourn.core.client import Role
from sojourn.core.ids import CLIENT, SESSION, ClientId, SessionId, to_uuid
from sojourn.core.session import Session, State
from sojourn.faces.http import views
from sojourn.faces.http.callers import Lister, Viewer
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.limits import PAGE_AT_MOST, PAGE_USUAL, WATCH_AT_MOST_S
from sojourn.faces.http.schemas import Line, Wire
from sojourn.ports.store import SessionFilter

_LOOK_AGAIN_S = (0.02, 0.05, 0.1, 0.2)  # then every 0.25 s: a kill takes about 100 ms
_LOOK_EVERY_S = 0.25


class ListQuery(Wire):
    """Which sessions to list."""

    model_config = ConfigDict(strict=False)  # a query holds text, so numbers are read from it

    state: Literal["requested", "approved", "active", "suspended", "revoking", "ended"] | None = None
    client: Line | None = None
    owner: Line | None = None
    charter: Line | None = None
    task_ref: Line | None = None
    after: Line | None = None
    limit: Annotated[int, Query(ge=1, le=PAGE_AT_MOST)] = PAGE_USUAL


class WatchQuery(Wire):
    """Whether to wait for the end before answering."""

    model_config = ConfigDict(strict=False)

    until: Literal["ended"] | None = None
    wait_s: Annotated[int, Query(ge=0, le=WATCH_AT_MOST_S)] = WATCH_AT_MOST_S


async def list_sessions(request: Request, caller: Lister, query: Annotated[ListQuery, Query()]) -> Response:
    """List sessions in the order they were requested; workloads see their own."""
    which = _filter(query, caller.id if caller.role is Role.WORKLOAD else None)
    after = None if query.after is None else SessionId(_known(SESSION, query.after))
    page = (
        []
        if which is None
        else list(await desk_of(request).store.sessions(which, after=after, limit=query.limit + 1))
    )
    shown = page[: query.limit]
    more = shown[-1].id if len(page) > len(shown) else None
    return views.reply({"sessions": [views.session(s) for s in shown], "next": more})


def _filter(query: ListQuery, only: ClientId | None) -> SessionFilter | None:
    """The filter in our words; None when a workload asks for another's sessions."""
    asked = None if query.client is None else ClientId(_known(CLIENT, query.client))
    if only is not None and asked not in (None, only):
        return None
    states = None if query.state is None else frozenset({State(query.state)})
    return SessionFilter(only or asked, states, query.owner, query.charter, query.task_ref)


def _known(prefix: str, text: str) -> str:
    to_uuid(prefix, text)
    return text


async def show_session(request: Request, viewed: Viewer, query: Annotated[WatchQuery, Query()]) -> Response:
    """Show a session, at once or when it has ended (or after `wait_s`)."""
    session = viewed.session
    if query.until is not None:
        session = await _until_ended(desk_of(request), session, query.wait_s)
    return views.reply(views.session(session))


async def _until_ended(desk: Desk, session: Session, wait_s: int) -> Session:
    deadline, pauses = desk.clock.monotonic() + wait_s, iter(_LOOK_AGAIN_S)
    with desk.watch_places.take():
        while session.state is not State.ENDED and (left := deadline - desk.clock.monotonic()) > 0:
            await desk.clock.sleep(min(next(pauses, _LOOK_EVERY_S), left))
            session = await desk.store.session(session.id) or session
    return session


async def show_leases(request: Request, viewed: Viewer) -> Response:
    """List the downstream credentials of a session and what became of each."""
    leases = await desk_of(request).store.leases(viewed.session.id)
    return views.reply({"leases": [views.lease(one, viewed.session.refused_at) for one in leases]})


async def show_evidence(request: Request, viewed: Viewer) -> Response:
    """The signed bundle: facts, proofs of inclusion, checkpoint, keys."""
    return PlainTextResponse(await desk_of(request).verbs.write_evidence(viewed.session.id))
