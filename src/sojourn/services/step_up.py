"""One action that people approve once: a short token for it, and no wider session.

A live session asks for an action that its charter offers and it does not hold. After the yes it
gets one token, for this action alone, that lives a minute at most; the session itself stays as
it was, and its end, suspension or narrowing refuses that token like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from sojourn.core.approval import Approval, ApprovalState, ask, hash_of, holds
from sojourn.core.change import Change, Once, pin
from sojourn.core.charter import Charter
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused
from sojourn.core.ids import APPROVAL, ApprovalId, SessionId, from_uuid
from sojourn.core.record import RowKind
from sojourn.core.scope import AudienceGrant, Grants
from sojourn.core.session import Session, is_live
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Mark, Store
from sojourn.services._retry import decide_again
from sojourn.services.mint_tokens import Token

USED = "step_up"


class Mint(Protocol):
    """Signs short tokens."""

    def __call__(self, session: Session, mark: Mark) -> Sequence[Token]: ...


class StepUp:
    """Asks for single actions, and hands out the token for one, once."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, mint: Mint) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._mint = mint

    async def ask(self, session_id: SessionId, audience: str, action: str, detail: str) -> Approval:
        """The request; nothing is granted.

        Raises:
            NotFound: code `unknown_session`.
            Invalid: codes `unknown_action`, `needs_no_approval`.
            Conflict: code `wrong_state`.
        """
        return await decide_again(lambda: self._ask(session_id, audience, action, detail), self._clock)

    async def use(self, session_id: SessionId, approval_id: ApprovalId) -> Token:
        """The token for the approved action; the second time there is none.

        Raises:
            NotFound: codes `unknown_session`, `unknown_task`.
            Refused: codes `not_approved_yet`, `replayed`.
            Conflict: code `wrong_state`.
        """
        mark = (await self._store.head()).mark
        session, now = await self._live(session_id), self._clock.now()
        approval = await self._store.approval(approval_id)
        if approval is None or approval.subject != _subject(session):
            raise NotFound("unknown_task", "there is no such request of this session")
        if not holds(approval, now):
            raise Refused("not_approved_yet", "there is no yes to this action that still holds")
        audience, action = str(approval.shown["audience"]), str(approval.shown["action"])
        until = approval.approved_until or now
        # Pinned: a yes that is taken back meanwhile, and an end, leave no token.
        pins = (pin(RowKind.APPROVAL, approval), pin(RowKind.SESSION, session))
        await self._store.commit(Change(pins=pins, once=(Once(USED, approval.id, until, action),)))
        only = Grants((), (AudienceGrant(USED, audience, (action,)),))
        return self._mint(replace(session, grants=only), mark)[0]

    async def _ask(self, session_id: SessionId, audience: str, action: str, detail: str) -> Approval:
        session = await self._live(session_id)
        charter = await self._charter(session)
        if charter.approval is None:
            raise Invalid("needs_no_approval", f"charter `{charter.label}` names nobody to ask")
        if action not in charter.grants.actions_at(audience):
            raise Invalid("unknown_action", f"charter `{charter.label}` offers no action `{action}` there")
        client = await self._store.client(session.client)
        if client is None:
            raise NotFound("unknown_client", "the session's client is not on record")
        now, rule = self._clock.now(), charter.approval
        shown = {"session": session.id, "task": f"{session.task.kind}:{session.task.ref}"}
        shown |= {"audience": audience, "action": action, "detail": detail, "charter": session.charter}
        approval = Approval(
            id=ApprovalId(from_uuid(APPROVAL, self._entropy.uuid7())),
            version=1,
            state=ApprovalState.PENDING,
            subject=_subject(session),
            session=None,  # a no refuses the action, not the session
            requester=client.id,
            requester_key=client.thumbprint,
            beneficiary=client.owner,
            owner=session.owner,
            rule=rule,
            shown_hash=hash_of(shown),
            shown=shown,
            requested_at=now,
            answer_by=now + rule.answer_within,
            duration=rule.valid_for,
        )
        await self._store.commit(Change(steps=(ask(approval),), pins=(pin(RowKind.SESSION, session),)))
        return approval

    async def _live(self, session_id: SessionId) -> Session:
        session = await self._store.session(session_id)
        if session is None:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        if not is_live(session, self._clock.now()):
            raise Conflict("wrong_state", f"expected an active session, it is `{session.state}`")
        return session

    async def _charter(self, session: Session) -> Charter:
        name, _, number = session.charter.rpartition("@")
        charter = await self._store.charter(name, int(number))
        if charter is None:
            raise NotFound("unknown_charter", f"there is no charter `{session.charter}`")
        return charter


def _subject(session: Session) -> str:
    return f"action:{session.id}"
