"""`/v1/approvals`: what waits for people, their answers, and the way back for the workload.

Names and states are those of the AuthZEN Access Request and Approval Profile (draft 1): a request
is a task, its yes says `reevaluate` and is no bearer grant.
"""

from __future__ import annotations

from typing import Literal

from fastapi import Request
from starlette.responses import Response

from sojourn.core import approval as core
from sojourn.core.approval import Approval
from sojourn.core.client import Role
from sojourn.core.errors import Invalid, NotFound
from sojourn.core.ids import APPROVAL, ApprovalId, to_uuid
from sojourn.core.session import Session
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.answers import Answer, SessionView, TokenView
from sojourn.faces.http.callers import Lister, ReadingOperator, SessionHolder, WritingOperator
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.schemas import Action, Audience, Detail, Line, Wire

Status = Literal["pending", "approved", "denied", "expired", "withdrawn"]


class AnswerBody(Wire):
    """One person's word about exactly what `hash` stands for."""

    answer: Literal["approve", "deny"]
    hash: Line
    detail: Detail = ""


class AnsweredView(Answer):
    by: str
    answer: Literal["approve", "deny"]
    at: str
    detail: str
    via: str


class YesView(Answer):
    id: str
    approved_until: str
    state: Literal["approved"]


class ResultView(Answer):
    mode: Literal["reevaluate"]
    approval: YesView


class ApprovalView(Answer):
    """A request for approval: `shown` is what is asked, `hash` its SHA-256 (RFC 8785)."""

    id: str
    status: Status
    status_endpoint: str
    expires_at: str
    session: str | None
    subject: str
    requester: str
    owner: str
    approvals: int
    approvers: list[str]
    shown: dict[str, object]
    hash: str
    answers: list[AnsweredView]
    result: ResultView | None


class ApprovalsView(Answer):
    """Requests that nobody has decided, or those about one subject."""

    approvals: list[ApprovalView]


class WaitingView(Answer):
    """The session that waits, and the request by which people are asked."""

    session: SessionView
    task: ApprovalView


async def list_approvals(request: Request, caller: ReadingOperator, subject: Line | None = None) -> Response:
    """List what waits for an answer, or the requests about one session."""
    desk = desk_of(request)
    found = await desk.store.approvals(subject)
    shown = [view(desk, one) for one in found]
    return views.reply({"approvals": [one for one in shown if subject or one["status"] == "pending"]})


async def show_approval(request: Request, caller: Lister, approval_id: str) -> Response:
    """Show a request; a workload sees its own."""
    found = await _find(desk_of(request), approval_id)
    if caller.role is Role.WORKLOAD and found.requester != caller.id:
        raise _unknown()
    return views.reply(view(desk_of(request), found))


async def answer_approval(
    request: Request, caller: WritingOperator, approval_id: str, body: AnswerBody
) -> Response:
    """Say yes or no to exactly what was shown."""
    desk = desk_of(request)
    known = await _find(desk, approval_id)
    answered = await desk.verbs.governance.approve(
        known.id, caller, yes=body.answer == "approve", shown_hash=body.hash, detail=body.detail
    )
    return views.reply(view(desk, answered))


async def withdraw_approval(request: Request, caller: WritingOperator, approval_id: str) -> Response:
    """Take a yes back: what it allowed ends."""
    desk = desk_of(request)
    known = await _find(desk, approval_id)
    return views.reply(view(desk, await desk.verbs.governance.approve.withdraw(known.id, caller)))


async def ask_for_template(request: Request, caller: WritingOperator, name: str) -> Response:
    """Ask for the approval of a whole charter version: its sessions then open without being asked about."""
    desk = desk_of(request)
    return views.reply(view(desk, await desk.verbs.governance.approve.ask_for_template(name, caller)), 201)


class StepUpBody(Wire):
    """One action at one audience, and why."""

    audience: Audience
    action: Action
    detail: Detail = ""


class StepUpView(Answer):
    """A token for one action, shown once."""

    token: TokenView


async def ask_for_action(request: Request, viewed: SessionHolder, body: StepUpBody) -> Response:
    """Ask people for one action that the charter offers and the session does not hold."""
    desk = desk_of(request)
    await desk.replays.spend(viewed.once)
    verb = desk.verbs.governance.step_up
    asked = await verb.ask(viewed.session.id, body.audience, body.action, body.detail)
    return views.reply(view(desk, asked), 202)


async def use_action(request: Request, viewed: SessionHolder, approval_id: str) -> Response:
    """Take the one token for an approved action."""
    desk = desk_of(request)
    await desk.replays.spend(viewed.once)
    known = await _find(desk, approval_id)
    token = await desk.verbs.governance.step_up.use(viewed.session.id, known.id)
    return views.reply({"token": views.tokens([token])[0]})


async def waiting(desk: Desk, session: Session) -> Response:
    """The answer to an open that waits for people."""
    (asked,) = await desk.store.approvals(session.id)
    return views.reply({"session": views.session(session), "task": view(desk, asked)}, 202)


def view(desk: Desk, value: Approval) -> views.Json:
    """A request as it stands now."""
    now = desk.clock.now()
    status, until = core.status(value, now), value.approved_until
    yes = status == "approved" and until is not None
    answers = [
        {
            "by": one.name,
            "answer": "approve" if one.yes else "deny",
            "at": show(one.at),
            "detail": one.detail,
            "via": one.via,
        }
        for one in value.answers
    ]
    approval = {"id": value.id, "approved_until": show(until), "state": "approved"} if yes and until else None
    return {
        "id": value.id,
        "status": status,
        "status_endpoint": f"{desk.settings.issuer.rstrip('/')}/v1/approvals/{value.id}",
        "expires_at": show(value.answer_by),
        "session": value.session,
        "subject": value.subject,
        "requester": value.requester,
        "owner": value.owner,
        "approvals": value.rule.approvals,
        "approvers": list(value.rule.approvers),
        "shown": dict(value.shown),
        "hash": value.shown_hash,
        "answers": answers,
        "result": approval and {"mode": "reevaluate", "approval": approval},
    }


async def _find(desk: Desk, approval_id: str) -> Approval:
    try:
        to_uuid(APPROVAL, approval_id)
    except Invalid as error:
        raise _unknown() from error
    found = await desk.store.approval(ApprovalId(approval_id))
    if found is None:
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound("unknown_task", "there is no such request, or you may not know of it")
