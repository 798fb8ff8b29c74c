"""A person says yes or no, just in time; the last yes approves the session in the same commit.

No credential is made here: the workload comes for them (`ActivateApproved`), so no secret waits
anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sojourn.core.approval import (
    Answer,
    Approval,
    ApprovalState,
    answer,
    ask,
    hash_of,
    template_of,
    template_subject,
    withdraw,
)
from sojourn.core.change import Change, Once, Pin, pin
from sojourn.core.client import Client
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused
from sojourn.core.ids import APPROVAL, ApprovalId, SessionId, from_uuid
from sojourn.core.record import Row, RowKind, Step
from sojourn.core.session import LEAVING, Session, State, approve_until, begin_end
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services.end_session import EndSession

MayApprove = Callable[[Session, Client, datetime], Awaitable[object]]
"""Refuses an operator whom a policy forbids to approve this session; it never permits anything."""


@dataclass(frozen=True, slots=True)
class Channel:
    """By which way an answer came, and what must be new and unchanged for it to land."""

    name: str = ""
    once: tuple[Once, ...] = ()
    pins: tuple[Pin, ...] = ()


DIRECT: Final = Channel()
"""The person's own key."""


class ApproveSession:
    """Takes answers to requests, and takes them back."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        end: EndSession,
        *,
        may: MayApprove | None = None,
    ) -> None:
        self._may = may
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._end = end

    async def __call__(
        self,
        approval: ApprovalId,
        by: Client,
        *,
        yes: bool,
        shown_hash: str,
        detail: str = "",
        channel: Channel = DIRECT,
    ) -> Approval:
        """The request with this answer to it.

        Raises:
            NotFound: code `unknown_task`.
            Refused: codes `not_an_approver`, `own_request`, `task_expired`, `session_ended`,
                `policy_refused`, `policy_error`, and `replayed` for a message that came before.
            Conflict: codes `wrong_state`, `already_answered`, `approval_changed`, `stale`.
        """

        async def attempt() -> Approval:
            given = Answer(by.id, by.name, by.thumbprint, yes, self._clock.now(), detail, channel.name)
            return await self._attempt(approval, by, given, shown_hash=shown_hash, channel=channel)

        return await decide_again(attempt, self._clock)

    async def withdraw(self, approval_id: ApprovalId, by: Client) -> Approval:
        """Take a yes back: what it allowed ends, first of all, so that nothing outlives its yes.

        Raises:
            NotFound: code `unknown_task`.
            Refused: code `not_an_approver`.
            Conflict: code `wrong_state`.
        """

        async def attempt() -> Approval:
            step = withdraw(await self._read(approval_id), by, self._clock.now())
            if step.row.session is not None:
                await self._end(step.row.session, Cause(Reason.APPROVAL_WITHDRAWN, f"client:{by.name}"))
            await self._store.commit(Change(steps=(step,), pins=(pin(RowKind.CLIENT, by),)))
            return step.row

        return await decide_again(attempt, self._clock)

    async def ask_for_template(self, charter_name: str, by: Client) -> Approval:
        """Ask for the approval of a whole charter version: its sessions then open unasked.

        Raises:
            NotFound: code `unknown_charter`.
            Invalid: code `needs_no_approval`.
        """
        charter = await self._store.charter(charter_name)
        if charter is None:
            raise NotFound("unknown_charter", f"there is no charter `{charter_name[:80]}`")
        if charter.approval is None:
            raise Invalid("needs_no_approval", f"charter `{charter.label}` asks for no approval")
        now, shown = self._clock.now(), template_of(charter)
        asked = Approval(
            id=ApprovalId(from_uuid(APPROVAL, self._entropy.uuid7())),
            version=1,
            state=ApprovalState.PENDING,
            subject=template_subject(charter.label),
            session=None,
            requester=by.id,
            requester_key=by.thumbprint,
            beneficiary="",  # nobody runs a template; who may open it profits when it is opened
            owner=charter.owner,
            rule=charter.approval,
            shown_hash=hash_of(shown),
            shown=shown,
            requested_at=now,
            answer_by=now + charter.approval.answer_within,
            duration=charter.longest,
        )
        await self._store.commit(Change(steps=(ask(asked),), pins=(pin(RowKind.CLIENT, by),)))
        return asked

    async def _read(self, approval_id: ApprovalId) -> Approval:
        approval = await self._store.approval(approval_id)
        if approval is None:
            raise NotFound("unknown_task", f"there is no request `{approval_id}`")
        return approval

    async def _attempt(
        self, approval_id: ApprovalId, by: Client, given: Answer, *, shown_hash: str, channel: Channel
    ) -> Approval:
        approval = await self._read(approval_id)
        step = answer(approval, given, by, shown_hash)
        if given.yes and self._may is not None and (about := await self._about(approval)):
            await self._may(about, by, given.at)
        steps: list[Step[Row]] = [step]
        if approval.session is not None and step.row.state is not ApprovalState.PENDING:
            steps.append(await self._concerned(step.row, given))
        # The person is pinned: one who is removed meanwhile has not answered.
        pins = (pin(RowKind.CLIENT, by), *channel.pins)
        await self._store.commit(Change(steps=tuple(steps), pins=pins, once=channel.once))
        return step.row

    async def _about(self, approval: Approval) -> Session | None:
        """The session that a request is about: the one that waits, or the one that wants an action."""
        named = approval.session or approval.shown.get("session")
        return await self._store.session(SessionId(named)) if isinstance(named, str) else None

    async def _concerned(self, approval: Approval, given: Answer) -> Step[Session]:
        """The session, approved or refused; what has left meanwhile cannot be approved."""
        session = await self._store.session(approval.session) if approval.session else None
        if session is None or session.state in LEAVING:
            raise Refused("session_ended", "the session that asked has ended")
        if approval.state is ApprovalState.DENIED:
            cause = Cause(Reason.REFUSED, f"client:{given.name}", given.detail)
            if session.state is not State.REQUESTED:
                raise Conflict("wrong_state", f"the session is `{session.state}` already")
            return begin_end(session, cause, given.at)
        until = approval.approved_until or given.at
        closes = given.at + approval.duration
        by = ", ".join(f"client:{one.name}" for one in approval.answers)
        return approve_until(session, by, (closes, closes + approval.renewable, until), given.at)
