"""Whether a session needs a person's yes, and the request that asks for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sojourn.core.approval import (
    Approval,
    ApprovalState,
    hash_of,
    holds,
    shown_of,
    template_of,
    template_subject,
)
from sojourn.core.charter import ApprovalRule, Charter
from sojourn.core.client import Client
from sojourn.core.ids import APPROVAL, ApprovalId, from_uuid
from sojourn.core.session import Session
from sojourn.core.window import Window
from sojourn.ports.clock import Entropy
from sojourn.ports.store import Store


async def must_ask(store: Store, charter: Charter, now: datetime) -> ApprovalRule | None:
    """The rule to ask under; None if nobody need be asked, or the template itself was approved."""
    if charter.approval is None:
        return None
    known = await store.approvals(template_subject(charter.label))
    fresh = hash_of(template_of(charter))
    if any(holds(one, now) and one.shown_hash == fresh for one in known):
        return None
    return charter.approval


def request_for(
    session: Session, client: Client, rule: ApprovalRule, entropy: Entropy
) -> tuple[Session, Approval]:
    """The session as it waits, and the request: it may last no longer than if it had been approved last."""
    now = session.requested_at
    duration = session.window.closes - session.window.opens
    renewable = session.last_end - session.window.closes
    closes = session.window.closes + rule.answer_within
    waiting = replace(
        session,
        window=Window(now, closes),
        last_end=closes + renewable,
        activate_by=now + rule.answer_within,
    )
    shown = shown_of(waiting, duration)
    approval = Approval(
        id=ApprovalId(from_uuid(APPROVAL, entropy.uuid7())),
        version=1,
        state=ApprovalState.PENDING,
        subject=session.id,
        session=session.id,
        requester=client.id,
        requester_key=client.thumbprint,
        beneficiary=client.owner,
        owner=session.owner,
        rule=rule,
        shown_hash=hash_of(shown),
        shown=shown,
        requested_at=now,
        answer_by=now + rule.answer_within,
        duration=duration,
        renewable=renewable,
    )
    return waiting, approval
