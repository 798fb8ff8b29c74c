"""`/v1/kills` and `/v1/offboardings`: end many sessions at once, counted first."""

from __future__ import annotations

from typing import Literal

from fastapi import Request
from starlette.responses import Response

from sojourn.core.errors import Invalid, NotFound
from sojourn.core.ids import CLIENT, KILL, SESSION, KillId, to_uuid
from sojourn.core.kill import Kill, Selects
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.answers import Answer
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.governance import Count
from sojourn.faces.http.schemas import Detail, Line, Wire
from sojourn.ports.store import KillFilter

Kind = Literal["client", "owner", "charter", "task", "target", "key", "family", "everything"]


class KillBody(Wire):
    """Which sessions to end; `dry_run` only counts them."""

    kind: Kind
    name: Line = "*"
    detail: Detail = ""
    confirm: Line | None = None
    dry_run: bool = False


class OffboardBody(Wire):
    """Whose sessions, callers and charters are over."""

    owner: Line
    detail: Detail = ""
    dry_run: bool = False


class KillView(Answer):
    """An order to end sessions; `n` is its number in the feed: guards that heard it refuse."""

    id: str
    state: Literal["ordered", "finished"]
    kind: Kind
    name: str
    n: int | None
    by: str
    detail: str
    ordered_at: str
    ended: int
    finished_at: str | None


class CountView(Answer):
    """How many sessions a selector picks now, by state; nothing was changed."""

    kind: Kind
    name: str
    sessions: dict[str, int]
    total: int


class KillsView(Answer):
    """Every order."""

    kills: list[KillView]


class OffboardedView(Answer):
    """What an owner leaves behind; without `kills` it was only counted."""

    owner: str
    clients: list[str]
    charters: list[str]
    counts: list[CountView]
    kills: list[KillView]


async def order_kill(request: Request, caller: WritingOperator, body: KillBody) -> Response:
    """End every session of a selector. Guards refuse from this answer on; ends follow."""
    verb, kind = desk_of(request).verbs.governance.order_kill, Selects(body.kind)
    _check_name(kind, body.name)
    if body.dry_run:
        return views.reply(_count(await verb.count(kind, body.name)))
    by = f"client:{caller.name}"
    kill = await verb(kind, body.name, by=by, detail=body.detail, confirm=body.confirm)
    return views.reply(_kill(kill), 202)


async def list_kills(request: Request, caller: ReadingOperator) -> Response:
    """List the orders that ever ended many sessions."""
    return views.reply({"kills": [_kill(one) for one in await desk_of(request).store.kills(KillFilter())]})


async def show_kill(request: Request, caller: ReadingOperator, kill_id: str) -> Response:
    """Show an order, and whether it is finished."""
    try:
        to_uuid(KILL, kill_id)
    except Invalid as error:
        raise NotFound("not_found", "there is no such order") from error
    kill = await desk_of(request).store.kill(KillId(kill_id))
    if kill is None:
        raise NotFound("not_found", "there is no such order")
    return views.reply(_kill(kill))


async def offboard_owner(request: Request, caller: WritingOperator, body: OffboardBody) -> Response:
    """End everything of an owner: sessions, callers, and what its charters may open."""
    verb = desk_of(request).verbs.governance.offboard
    if body.dry_run:
        found = await verb.look(body.owner)
    else:
        found = await verb(body.owner, by=caller, detail=body.detail)
    shown: views.Json = {
        "owner": found.owner,
        "clients": [one.name for one in found.clients],
        "charters": list(found.charters),
        "counts": [_count(one) for one in found.counts],
        "kills": [_kill(one) for one in found.kills],
    }
    return views.reply(shown, 200 if body.dry_run else 202)


def _check_name(kind: Selects, name: str) -> None:
    if name == "*" and kind is not Selects.EVERYTHING:
        raise Invalid("bad_selector", f"expected the name of a {kind}")
    if kind is Selects.FAMILY:
        to_uuid(SESSION, name)
    if kind is Selects.CLIENT and name.startswith(f"{CLIENT}_"):
        to_uuid(CLIENT, name)


def _kill(value: Kill) -> views.Json:
    return {
        "id": value.id,
        "state": value.state,
        "kind": value.selector.kind,
        "name": value.selector.id,
        "n": value.n,
        "by": value.cause.source,
        "detail": value.cause.detail,
        "ordered_at": show(value.ordered_at),
        "ended": value.ended,
        "finished_at": None if value.finished_at is None else show(value.finished_at),
    }


def _count(value: Count) -> views.Json:
    states = {str(state): count for state, count in sorted(value.sessions.items())}
    selector = value.selector
    return {"kind": selector.kind, "name": selector.id, "sessions": states, "total": sum(states.values())}
