"""A person's answer to one request: bound to exactly what was shown, by k distinct people, in time.

    pending ──> approved ──> withdrawn
       └──────> denied

Who asks, and who profits, does not answer: neither the requesting client, nor anybody with its
key, nor a member of the team that runs it. Expiry is judged before the stored state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sojourn.core.charter import ApprovalRule, Charter
from sojourn.core.client import Client, Role
from sojourn.core.errors import Conflict, Refused
from sojourn.core.ids import ApprovalId, SessionId
from sojourn.core.record import FactKind, RowKind, Step, born, moved
from sojourn.core.scope import TargetGrant
from sojourn.core.session import Session
from sojourn.core.window import to_micros
from sojourn.ledger.canonical import canonical

OWNER = "owner"  # among a charter's approvers: whoever is of the team that owns the charter


class ApprovalState(StrEnum):
    """What has become of a request; expiry is not stored (`status`)."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Answer:
    """One person's word."""

    by: str  # the operator's client id
    name: str
    key: str  # the thumbprint of its key: two names with one key are one person
    yes: bool
    at: datetime
    detail: str = ""
    via: str = ""  # the channel it came by, if not from the person's own key


@dataclass(frozen=True, slots=True)
class Approval:
    """One request and the answers to it. `shown_hash` is SHA-256 of the RFC 8785 form of `shown`."""

    id: ApprovalId
    version: int
    state: ApprovalState
    subject: str  # the id of the session, or `charter:NAME@N` for a template
    session: SessionId | None
    requester: str  # the id of the client that asked
    requester_key: str
    beneficiary: str  # the team that runs the requester
    owner: str  # the team that owns the charter
    rule: ApprovalRule
    shown_hash: str
    shown: Mapping[str, object]
    requested_at: datetime
    answer_by: datetime
    duration: timedelta  # of the session, from the moment it is approved
    renewable: timedelta = timedelta(0)  # how much later renewals may end it
    answers: tuple[Answer, ...] = ()
    approved_until: datetime | None = None


def shown_of(session: Session, duration: timedelta) -> dict[str, object]:
    """What an approver is shown of a session, and says yes to."""
    return {
        "session": session.id,
        "client": session.client,
        "owner": session.owner,
        "task": {"kind": session.task.kind, "ref": session.task.ref},
        "charter": session.charter,
        "key": session.key,
        "grants": [_grant(grant) for grant in session.grants.each()],
        "context": dict(session.context),
        "duration_us": duration // timedelta(microseconds=1),
    }


def template_of(charter: Charter) -> dict[str, object]:
    """What an approver is shown of a charter whose sessions then open without being asked about."""
    return {
        "charter": charter.label,
        "owner": charter.owner,
        "clients": list(charter.clients),
        "grants": [_grant(grant) for grant in charter.grants.each()],
        "longest_us": charter.longest // timedelta(microseconds=1),
        "renewals": charter.renewals.times,
        "applied_at_us": to_micros(charter.applied_at),
    }


def template_subject(label: str) -> str:
    """Under which subject the approval of a whole charter version is kept."""
    return f"charter:{label}"


def hash_of(shown: Mapping[str, object]) -> str:
    """SHA-256 of the one spelling of `shown` (RFC 8785), in hexadecimal."""
    return hashlib.sha256(canonical(dict(shown))).hexdigest()


def ask(approval: Approval) -> Step[Approval]:
    """People are asked; nothing is granted yet."""
    return born(
        FactKind.APPROVAL_REQUESTED,
        RowKind.APPROVAL,
        approval,
        approval.requested_at,
        session=approval.session,
    )


def status(approval: Approval, now: datetime) -> str:
    """`pending`, `approved`, `denied`, `withdrawn` or `expired`, as of `now`."""
    if approval.state is ApprovalState.PENDING and now >= approval.answer_by:
        return "expired"
    if approval.state is ApprovalState.APPROVED and not holds(approval, now):
        return "expired"
    return str(approval.state)


def holds(approval: Approval, now: datetime) -> bool:
    """Whether the yes can be relied on at `now`."""
    until = approval.approved_until
    return approval.state is ApprovalState.APPROVED and until is not None and now < until


def answer(approval: Approval, given: Answer, by: Client, shown_hash: str) -> Step[Approval]:
    """Take one person's word; the last that is needed approves, one no denies.

    Raises:
        Refused: codes `not_an_approver`, `own_request`, `task_expired`.
        Conflict: codes `wrong_state`, `already_answered`, `approval_changed`.
    """
    if status(approval, given.at) == "expired":
        raise Refused("task_expired", "nobody answered in time; ask again")
    if approval.state is not ApprovalState.PENDING:
        raise Conflict("wrong_state", f"the request is `{approval.state}` already")
    _require_eligible(approval, by)
    if any(given.by == one.by or given.key == one.key for one in approval.answers):
        raise Conflict("already_answered", "this person has answered before")
    if shown_hash != approval.shown_hash:
        raise Conflict("approval_changed", "what was answered is not what is asked; look again")
    answers = (*approval.answers, given)
    change: dict[str, object] = {"answers": answers}
    kind = FactKind.APPROVAL_ANSWERED
    if not given.yes:
        change |= {"state": ApprovalState.DENIED}
        kind = FactKind.APPROVAL_DENIED
    elif len(answers) >= approval.rule.approvals:
        change |= {"state": ApprovalState.APPROVED, "approved_until": given.at + approval.rule.valid_for}
        kind = FactKind.APPROVAL_GRANTED
    return moved(kind, RowKind.APPROVAL, approval, given.at, **change)


def withdraw(approval: Approval, by: Client, now: datetime) -> Step[Approval]:
    """An approver takes the yes back.

    Raises:
        Refused: code `not_an_approver`; it is not one who said yes.
        Conflict: code `wrong_state`; it was never approved.
    """
    if approval.state is not ApprovalState.APPROVED:
        raise Conflict("wrong_state", f"expected an approved request, it is `{approval.state}`")
    if all(one.by != by.id for one in approval.answers):
        raise Refused("not_an_approver", "only somebody who said yes takes it back")
    return moved(FactKind.APPROVAL_WITHDRAWN, RowKind.APPROVAL, approval, now, state=ApprovalState.WITHDRAWN)


def _require_eligible(approval: Approval, by: Client) -> None:
    if by.id == approval.requester or by.thumbprint == approval.requester_key:
        raise Refused("own_request", "nobody answers a request of their own")
    if by.owner == approval.beneficiary:
        raise Refused("own_request", f"nobody of `{by.owner}`, which profits from it, answers the request")
    named = by.name in approval.rule.approvers
    owning = OWNER in approval.rule.approvers and by.owner == approval.owner
    if by.role is not Role.OPERATOR or by.removed_at is not None or not (named or owning):
        raise Refused("not_an_approver", f"the charter does not name `{by.name}` as an approver")


def _grant(grant: object) -> dict[str, object]:
    if isinstance(grant, TargetGrant):
        return {"name": grant.name, "target": grant.target, "template": grant.template}
    names = ("name", "audience", "actions")
    found = {name: getattr(grant, name) for name in names}
    return {**found, "actions": list(found["actions"])}
