"""Policies: apply a set, show the one in force, explain a session or a question."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from sojourn.core.errors import NotFound
from sojourn.core.policy import MOST_BYTES, Action, Party, Question, Value
from sojourn.core.policy_facts import PARTIES
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.callers import ReadingOperator, Viewer, WritingOperator
from sojourn.faces.http.desk import desk_of
from sojourn.faces.http.schemas import Line, Wire

Word = Annotated[str, StringConstraints(max_length=256)]
Plain = bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | Word | list[Word]


class PolicyBody(Wire):
    """A whole policy set in Cedar."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=MOST_BYTES)]


class PartyBody(Wire):
    """Who, or about what: its name and what is known of it."""

    name: Line
    members: Annotated[dict[Word, Plain], Field(max_length=16)] = {}  # noqa: RUF012 - never changed


class QuestionBody(Wire):
    """A question for the policies in force, as `policy test` writes them."""

    action: Action = Field(strict=False)
    who: PartyBody
    about: PartyBody
    facts: Annotated[dict[Word, Plain], Field(max_length=64)]


async def apply_policy(request: Request, caller: WritingOperator, body: PolicyBody) -> Response:
    """Apply a policy set: a new version if it differs from the newest."""
    policies, changed = await desk_of(request).verbs.apply_policy(body.text, by=caller)
    return views.reply({"number": policies.number, "changed": changed})


async def show_policy(request: Request, caller: ReadingOperator) -> Response:
    """Show the policy set that was applied last."""
    found = await desk_of(request).store.policy()
    if found is None:
        raise NotFound("not_found", "no policy set was applied: what is shipped is in force")
    return views.reply(
        {
            "number": found.number,
            "text": found.text,
            "applied_at": show(found.applied_at),
            "applied_by": found.applied_by,
        }
    )


async def explain_session(request: Request, viewed: Viewer) -> Response:
    """Say which rules let a session go on now, or would not, and which facts they look at."""
    return views.reply(await desk_of(request).verbs.explain(viewed.session))


async def explain_question(request: Request, caller: ReadingOperator, body: QuestionBody) -> Response:
    """Answer one question by the policies in force, and say which of them decided."""
    who, about = PARTIES[body.action]
    question = Question(body.action, _party(who, body.who), _party(about, body.about), _values(body.facts))
    return views.reply(await desk_of(request).verbs.explain.question(question))


def _party(kind: str, body: PartyBody) -> Party:
    return Party(kind, body.name, _values(body.members))


def _values(given: dict[str, Plain]) -> dict[str, Value]:
    return {name: frozenset(one) if isinstance(one, list) else one for name, one in given.items()}
