"""Which rule decided, and on which facts: for people who ask why."""

from __future__ import annotations

import json

from sojourn.core.policy import Question, Verdict
from sojourn.core.record import FactKind
from sojourn.core.session import Session
from sojourn.core.window import show
from sojourn.ports.clock import Clock
from sojourn.ports.policy_engine import Policies
from sojourn.ports.store import Store
from sojourn.services import _questions as questions
from sojourn.services.policy_book import PolicyBook

Json = dict[str, object]


class ExplainPolicy:
    """Asks the policies in force, and says what they looked at."""

    def __init__(self, store: Store, book: PolicyBook, clock: Clock) -> None:
        self._store = store
        self._book = book
        self._clock = clock

    async def __call__(self, session: Session) -> Json:
        """Why the session may go on, and what it may use."""
        policies, now = await self._book.current(), self._clock.now()
        asked = [questions.continuing(session, now)]
        for grant in session.grants.audiences:
            asked += [questions.using(session, now, grant.audience, action) for action in grant.actions]
        cause = session.cause
        return {
            "session": session.id,
            "state": session.state,
            "charter": session.charter,
            "closes": show(session.window.closes),
            "pauses_at": show(session.pauses_at) if session.pauses_at else None,
            "approved": await self._approved(session),
            "cause": cause and {"reason": cause.reason, "source": cause.source, "detail": cause.detail},
            "answers": [explained(policies, one) for one in asked],
        }

    async def _approved(self, session: Session) -> Json | None:
        """Who said yes, under which policies and calendars, as the journal has it."""
        for entry in await self._store.session_journal(session.id):
            leaf = json.loads(entry.leaf)
            if leaf.get("kind") == FactKind.SESSION_APPROVED:
                body = leaf.get("body", {})
                return {name: body.get(name) for name in ("by", "policy", "policies", "calendars")}
        return None

    async def question(self, question: Question) -> Json:
        """The answer to one question."""
        return explained(await self._book.current(), question)


def explained(policies: Policies, question: Question) -> Json:
    """The verdict with the policies that decided and the facts that they look at."""
    verdict = policies.judge(question)
    looked_at = policies.reads(question)
    facts = {name: _plain(value) for name, value in question.facts.items() if name in looked_at}
    about = {"audience", "action", "verb"} & question.facts.keys()
    return {
        "action": question.action.value,
        "on": {name: _plain(question.facts[name]) for name in sorted(about)},
        "who": f"{question.who.kind} {question.who.name}",
        "about": f"{question.about.kind} {question.about.name}",
        "allowed": verdict.allowed,
        "policy_set": verdict.number,
        "policies": [{"id": name, "text": policies.text_of(name)} for name in verdict.policies],
        "facts": facts,
        "errors": list(verdict.errors),
        "why": _why(verdict),
    }


def _why(verdict: Verdict) -> str:
    named = ", ".join(f"`{name}`" for name in verdict.policies)
    if verdict.errors:
        return "a policy could not be evaluated, and what cannot be evaluated is refused"
    if verdict.allowed:
        return f"permitted by {named}, and no policy forbids it"
    return f"forbidden by {named}" if named else "no policy permits it"


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value
