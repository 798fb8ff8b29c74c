"""`/v1/hooks`: addresses that are told of facts; `/answers/{hook}`: what people say through them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from sojourn.core.client import Client
from sojourn.core.errors import Invalid, NotFound
from sojourn.core.hook import EVENTS, LONGEST_URL, Hook, HookPlace, Said
from sojourn.core.ids import APPROVAL, ApprovalId, to_uuid
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.answers import Answer
from sojourn.faces.http.callers import ReadingOperator, WritingOperator
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.schemas import Detail, Line, Name, Wire
from sojourn.ports.trigger import Delivery


class HookBody(Wire):
    """A hook to add; without `events` it is told of every kind there is."""

    name: Name
    url: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_URL)]
    events: Annotated[list[Name], Field(min_length=1, max_length=32)] | None = None
    answers: bool = False


class PersonBody(Wire):
    """What the caller is called at the hook."""

    person: Line


class SaidBody(Wire):
    """One person's word about exactly what `hash` stands for, as a chat tool heard it."""

    approval: Line
    hash: Line
    answer: Literal["approve", "deny"]
    person: Line
    detail: Detail = ""


class LinkedView(Answer):
    """A name at the hook, and the operator who speaks under it."""

    person: str
    operator: str


class ToldView(Answer):
    """How far a hook has come: `behind` facts are not looked at yet, `given_up` were never told."""

    behind: int
    attempts: int
    retry_at: str | None
    given_up: int
    error: str


class HookView(Answer):
    """A hook; `secret` only in the answer that adds it."""

    id: str
    name: str
    url: str
    events: list[str]
    answers: bool
    answer_at: str | None
    people: list[LinkedView]
    told: ToldView
    added_at: str
    added_by: str
    secret: str | None


class HooksView(Answer):
    """The hooks that are not removed."""

    hooks: list[HookView]


class TakenView(Answer):
    """The answer counts; how the request stands now."""

    approval: str
    status: str


async def add_hook(request: Request, caller: WritingOperator, body: HookBody) -> Response:
    """Add a hook; its secret is shown this once."""
    desk = desk_of(request)
    events = [str(one) for one in EVENTS] if body.events is None else body.events
    added, secret = await desk.verbs.governance.hooks(
        body.name, body.url, events=events, answers=body.answers, by=caller.name
    )
    return views.reply({**await _hook(desk, added), "secret": secret.reveal()}, 201)


async def list_hooks(request: Request, caller: ReadingOperator) -> Response:
    """List the hooks, and how far each has come."""
    desk = desk_of(request)
    return views.reply({"hooks": [await _hook(desk, one) for one in await desk.store.hooks()]})


async def remove_hook(request: Request, caller: WritingOperator, name: str) -> Response:
    """Remove a hook: it is told nothing more, and no answer is taken from it."""
    desk = desk_of(request)
    return views.reply(await _hook(desk, await desk.verbs.governance.hooks.remove(name)))


async def link_person(request: Request, caller: WritingOperator, name: str, body: PersonBody) -> Response:
    """Say what you are called at a hook: what is said under that name counts as your word."""
    desk = desk_of(request)
    return views.reply(await _hook(desk, await desk.verbs.governance.hooks.link(name, body.person, caller)))


async def unlink_person(request: Request, caller: WritingOperator, name: str, person: str) -> Response:
    """Take a name away from whoever speaks under it at a hook."""
    desk = desk_of(request)
    return views.reply(await _hook(desk, await desk.verbs.governance.hooks.unlink(name, person)))


async def answer_by_hook(request: Request, hook: str, body: SaidBody) -> Response:
    """Take the answer of a person that a chat tool brings, signed with the secret of its hook."""
    desk = desk_of(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    delivery = Delivery(headers, await request.body(), desk.clock.now())

    async def may(person: Client, approval: ApprovalId) -> None:
        # The rights of a person do not depend on the way by which the answer comes.
        place = ("approvals", str(approval))
        await desk.verbs.operate(person, "answer_approval", place, _no_owner, takes_away=False)

    answered = await desk.verbs.governance.answer_by_hook(hook, delivery, _said(body), may)
    return views.reply({"approval": answered.id, "status": str(answered.state)})


def _said(body: SaidBody) -> Said:
    try:
        to_uuid(APPROVAL, body.approval)
    except Invalid as error:
        raise NotFound("unknown_task", "there is no such request, or you may not know of it") from error
    yes = body.answer == "approve"
    return Said(ApprovalId(body.approval), body.person, yes, body.hash, body.detail)


async def _no_owner() -> str:
    return ""


async def _hook(desk: Desk, value: Hook) -> views.Json:
    place = await desk.store.hook_place(value.id) or HookPlace(value.since)
    size, issuer = (await desk.store.head()).journal_size, desk.settings.issuer.rstrip("/")
    names: dict[str, str] = {one.id: one.name for one in await desk.store.clients()} if value.people else {}
    people = [{"person": one, "operator": names.get(who, who)} for one, who in value.people.items()]
    return {
        "id": value.id,
        "name": value.name,
        "url": value.url,
        "events": list(value.events),
        "answers": value.answers,
        "answer_at": f"{issuer}/answers/{value.name}" if value.answers else None,
        "people": people,
        "told": {
            "behind": max(size - place.next, 0),
            "attempts": place.attempts,
            "retry_at": show(place.run_at) if place.run_at else None,
            "given_up": place.given_up,
            "error": place.error,
        },
        "added_at": show(value.added_at),
        "added_by": value.added_by,
        "secret": None,
    }
