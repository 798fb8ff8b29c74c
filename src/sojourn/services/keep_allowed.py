"""May a living session go on? Ask the policies, and end or suspend it if they say no."""

from __future__ import annotations

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict
from sojourn.core.policy import Action, Verdict
from sojourn.core.session import Session, State
from sojourn.ports.clock import Clock
from sojourn.services import _questions as questions
from sojourn.services.end_session import EndSession
from sojourn.services.policy_book import PolicyBook, require
from sojourn.services.suspend_session import SuspendSession

SOURCE = "policy"


class KeepAllowed:
    """Holds living sessions to the policies in force."""

    def __init__(self, book: PolicyBook, clock: Clock, *, end: EndSession, suspend: SuspendSession) -> None:
        self._book = book
        self._clock = clock
        self._end = end
        self._suspend = suspend

    async def __call__(self, session: Session, *, renew: bool = False) -> Verdict:
        """The verdict, if the session may go on; otherwise it has been ended or suspended.

        Raises:
            Refused: code `policy_refused` or `policy_error`.
        """
        verdict = await self.verdict(session, renew=renew)
        if not verdict.allowed:
            await self.act(session, verdict)
        return require(verdict, Action.CONTINUE)

    async def verdict(self, session: Session, *, renew: bool = False) -> Verdict:
        """Whether the session may go on, without doing anything about it."""
        policies = await self._book.lately()
        always = policies.always(Action.CONTINUE)
        if always is not None:
            return always
        now = self._clock.now()
        asked = questions.continuing(session, now, renew=renew)
        asked = await self._book.informed(policies, asked, session, now)
        return self._book.judge(policies, asked)

    async def act(self, session: Session, verdict: Verdict) -> None:
        """End the session, or suspend it where the policies that forbade ask for that."""
        named = ", ".join(verdict.policies) or "no policy permits it"
        detail = f"policy set {verdict.number}: {'an error' if verdict.errors else named}"[:500]
        cause = Cause(Reason.POLICY_CHANGED, SOURCE, detail)
        if verdict.suspends and session.state is State.ACTIVE:
            try:
                await self._suspend(session.id, cause)
                return
            except Conflict:
                pass  # it moved meanwhile: the end below is right in every state
        if not (verdict.suspends and session.state is State.SUSPENDED):
            await self._end(session.id, cause)
