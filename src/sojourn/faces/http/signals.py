"""`/signals/{trigger}`: what other systems report; and the triggers that hear it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from sojourn.core.secret import Secret
from sojourn.core.trigger import Trigger
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.answers import Answer
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.schemas import Line, Name, Wire
from sojourn.ports.trigger import Delivery


class TriggerBody(Wire):
    """A trigger to add; without `secret` one is made and shown once."""

    name: Name
    kind: Name
    settings: Annotated[dict[Name, Line], Field(max_length=16, default_factory=dict)]
    secret: Annotated[str, StringConstraints(min_length=16, max_length=4096)] | None = Field(
        default=None, repr=False
    )


class TriggerView(Answer):
    """A trigger; `secret` only in the answer that adds it."""

    id: str
    name: str
    kind: str
    settings: dict[str, str]
    url: str
    added_at: str
    added_by: str
    secret: str | None


class TriggersView(Answer):
    """The triggers that are not removed."""

    triggers: list[TriggerView]


class HeardView(Answer):
    """How many sessions the delivery ended."""

    ended: int


async def hear(request: Request, trigger: str) -> Response:
    """Hear that something outside is over. Repeating a delivery changes nothing."""
    desk = desk_of(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    delivery = Delivery(headers, await request.body(), desk.clock.now())
    return views.reply({"ended": await desk.verbs.governance.signals.deliver(trigger, delivery)})


async def add_trigger(request: Request, caller: WritingOperator, body: TriggerBody) -> Response:
    """Add a trigger; its secret is shown this once."""
    desk = desk_of(request)
    secret = None if body.secret is None else Secret(body.secret)
    added, kept = await desk.verbs.governance.triggers(
        body.name, body.kind, settings=body.settings, secret=secret, by=caller.name
    )
    return views.reply({**_trigger(desk, added), "secret": kept.reveal()}, 201)


async def list_triggers(request: Request, caller: ReadingOperator) -> Response:
    """List the triggers."""
    desk = desk_of(request)
    return views.reply({"triggers": [_trigger(desk, one) for one in await desk.store.triggers()]})


async def remove_trigger(request: Request, caller: WritingOperator, name: str) -> Response:
    """Remove a trigger: what is reported at its name is refused."""
    desk = desk_of(request)
    return views.reply(_trigger(desk, await desk.verbs.governance.triggers.remove(name)))


def _trigger(desk: Desk, value: Trigger) -> views.Json:
    return {
        "id": value.id,
        "name": value.name,
        "kind": value.kind,
        "settings": dict(value.settings),
        "url": f"{desk.settings.issuer.rstrip('/')}/signals/{value.name}",
        "added_at": show(value.added_at),
        "added_by": value.added_by,
        "secret": None,
    }
