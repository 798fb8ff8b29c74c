"""The policies in force, the same on every node, and the answers they give.

The newest set that can be read is in force. One that cannot, however it came into the
database, is passed over, logged and counted: the one before it stays. Where no set can be
read nothing is allowed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from sojourn.core.client import Client
from sojourn.core.errors import Invalid, Refused, Unavailable
from sojourn.core.policy import DEFAULT, Action, Question, Verdict
from sojourn.core.policy_facts import HISTORY
from sojourn.core.scope import AudienceGrant, Grants
from sojourn.core.session import Session
from sojourn.core.usage import account_of
from sojourn.ports.clock import Clock
from sojourn.ports.policy_engine import Policies, PolicyEngine
from sojourn.ports.store import Store
from sojourn.services import _questions as questions

log = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 1.0
"""A set that another node applied decides about beats so much later at most."""

_MOST_PASSED_OVER: Final = 16
_NOTHING: Final = '@id("nothing-can-be-read") forbid (principal, action, resource);'


class PolicyBook:
    """Knows the newest policies, and asks them."""

    def __init__(self, store: Store, clock: Clock, engine: PolicyEngine) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine
        self._held = engine.load(DEFAULT, 0)
        self._newest = 0
        self._looked: float | None = None
        self.decided: Counter[tuple[str, str]] = Counter()  # by action and answer, for metrics
        self.unreadable = 0  # how often a stored set was passed over

    @property
    def held(self) -> Policies:
        """The policies as last read: at most `LOOK_AGAIN_S` old while anything goes on."""
        return self._held

    async def current(self) -> Policies:
        """The policies in force, as the store has them now.

        Raises:
            Unavailable: the store could not answer, so nothing may be decided.
        """
        newest = (await self._store.rules()).policy
        if newest != self._newest:
            self._held = await self._read(newest)
            self._newest = newest
        self._looked = self._clock.monotonic()
        return self._held

    async def lately(self) -> Policies:
        """As `current`, but for a set that is younger than `LOOK_AGAIN_S`."""
        if self._looked is not None and self._clock.monotonic() - self._looked < LOOK_AGAIN_S:
            return self._held
        return await self.current()

    async def _read(self, newest: int) -> Policies:
        for number in range(newest, max(newest - _MOST_PASSED_OVER, 0), -1):
            if number == self._held.number:
                return self._held
            stored = await self._store.policy(number)
            if stored is None:
                continue
            try:
                return self._engine.load(stored.text, number)
            except Invalid as error:
                self.unreadable += 1
                log.error("policy set %d cannot be read and is passed over: %s", number, error.message)
        return self._held if self._held.number else self._engine.load(_NOTHING, 0)

    def judge(self, policies: Policies, question: Question) -> Verdict:
        """The verdict, counted."""
        return self._counted(question.action, policies.judge(question))

    def _counted(self, action: Action, verdict: Verdict) -> Verdict:
        answer = "allow" if verdict.allowed else "error" if verdict.errors else "deny"
        self.decided[action.value, answer] += 1
        return verdict

    async def require_open(self, session: Session) -> Verdict:
        """What decided that the session, as it would be requested, may be opened.

        Raises:
            Refused: code `policy_refused` or `policy_error`.
        """
        policies = await self.current()
        verdict = policies.always(Action.OPEN) or policies.judge(questions.opening(session))
        return require(self._counted(Action.OPEN, verdict), Action.OPEN)

    async def require_delegate(self, parent: Session, grants: frozenset[str], now: datetime) -> Verdict:
        """What decided that `parent` may have a child with `grants`.

        Raises:
            Refused: code `policy_refused` or `policy_error`.
        """
        policies = await self.current()
        asked = await self.informed(policies, questions.delegating(parent, now, grants), parent, now)
        return require(self.judge(policies, asked), Action.DELEGATE)

    async def require_approve(self, session: Session, operator: Client, now: datetime) -> Verdict:
        """What decided that `operator` may say yes to `session`.

        Raises:
            Refused: code `policy_refused` or `policy_error`.
        """
        policies = await self.current()
        asked = await self.informed(policies, questions.approving(session, now, operator), session, now)
        return require(self.judge(policies, asked), Action.APPROVE)

    async def informed(
        self, policies: Policies, question: Question, session: Session, now: datetime
    ) -> Question:
        """The question with those facts of the session's past that policies look at.

        Raises:
            Unavailable: the store could not answer, so nothing may be decided.
        """
        wanted = policies.reads(question) & HISTORY.keys()
        if not wanted:
            return question
        facts = dict(question.facts)
        if wanted & {"uses", "failures", "prior"}:
            usage = await self._store.usage(session.id, account_of(session), now)
            facts |= {"uses": usage.spent.calls, "failures": usage.failed, "prior": frozenset(usage.actions)}
        if "approvals" in wanted:
            asked = await self._store.approvals(session.id)
            facts["approvals"] = sum(answer.yes for one in asked for answer in one.answers)
        return replace(question, facts=facts)

    async def require_operate(
        self,
        operator: Client,
        verb: str,
        thing: tuple[str, str],
        owner: Callable[[], Awaitable[str]],
        *,
        takes_away: bool,
    ) -> None:
        """Refuse what the operator may not do; `owner` is asked for only if a policy might care.

        Raises:
            Refused: code `policy_refused` or `policy_error`; for what `takes_away` only the
                former, and only where a policy forbids it.
        """
        try:
            policies = await self.lately()
        except Unavailable:
            if not takes_away:
                raise
            policies = self._held
        if _permits_all(policies, Action.OPERATE):
            return
        asked = questions.operating(operator, verb, thing, await owner())
        verdict = self.judge(policies, asked)
        if takes_away and not verdict.forbidden:
            return
        require(verdict, Action.OPERATE)

    def usable(self, session: Session, now: datetime) -> Grants:
        """The session's grants without the actions that a policy refuses now: what a token may say."""
        policies = self._held
        if _permits_all(policies, Action.USE):
            return session.grants
        left = []
        for grant in session.grants.audiences:
            actions = tuple(
                action
                for action in grant.actions
                if self.judge(policies, questions.using(session, now, grant.audience, action)).allowed
            )
            if actions:
                left.append(AudienceGrant(grant.name, grant.audience, actions))
        return Grants(session.grants.targets, tuple(left))


def _permits_all(policies: Policies, action: Action) -> bool:
    always = policies.always(action)
    return always is not None and always.allowed


def require(verdict: Verdict, action: Action) -> Verdict:
    """The verdict, if it allows.

    Raises:
        Refused: code `policy_refused`, or `policy_error` where a policy could not be evaluated.
    """
    if verdict.allowed:
        return verdict
    if verdict.errors:
        raise Refused("policy_error", f"a policy could not be evaluated, so `{action.value}` is refused")
    named = ", ".join(f"`{name}`" for name in verdict.policies)
    why = f"refused by policy {named}" if named else "no policy permits it"
    raise Refused("policy_refused", f"`{action.value}`: {why}")
