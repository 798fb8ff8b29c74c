"""Questions for the policies, out of sessions and operations as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sojourn.core.client import Client
from sojourn.core.context import is_attested
from sojourn.core.policy import Action, Party, Question, Value
from sojourn.core.policy_facts import HISTORY
from sojourn.core.scope import Grants
from sojourn.core.session import Session


def opening(session: Session) -> Question:
    """May the session, as it would be requested, be opened?"""
    lasting = session.window.closes - session.window.opens
    facts = {**_asked(session), "duration_s": int(lasting.total_seconds())}
    return Question(Action.OPEN, workload(session), charter(session), facts)


def continuing(session: Session, now: datetime, *, renew: bool = False) -> Question:
    """May the session go on?"""
    facts = {**_lived(session, now), **HISTORY, "renew": renew}
    return Question(Action.CONTINUE, workload(session), charter(session), facts)


def using(session: Session, now: datetime, audience: str, action: str) -> Question:
    """May the session do `action` at `audience`?"""
    facts = {**_lived(session, now), "audience": audience, "action": action}
    return Question(Action.USE, workload(session), charter(session), facts)


def delegating(session: Session, now: datetime, grants: Iterable[str]) -> Question:
    """May the session have a child with these of its grants?"""
    depth = len(session.ancestors) + 1
    facts = {**_lived(session, now), **HISTORY, "child_grants": frozenset(grants), "child_depth": depth}
    return Question(Action.DELEGATE, workload(session), charter(session), facts)


def approving(session: Session, now: datetime, operator: Client) -> Question:
    """May the operator say yes to the session?"""
    facts = {**_lived(session, now), **HISTORY, "requester": session.client_name}
    return Question(Action.APPROVE, person(operator), charter(session), facts)


def operating(operator: Client, verb: str, thing: tuple[str, str], owner: str) -> Question:
    """May the operator do `verb` to the thing of this kind and name?"""
    kind, name = thing
    about = Party("Thing", f"{kind}/{name}", {"kind": kind, "name": name})
    return Question(Action.OPERATE, person(operator), about, {"verb": verb, "owner": owner})


def workload(session: Session) -> Party:
    """The client that opened the session."""
    name = session.client_name
    return Party("Workload", name, {"name": name, "attestor": session.attestor})


def person(operator: Client) -> Party:
    """An operator."""
    return Party("Operator", operator.name, {"name": operator.name, "owner": operator.owner})


def charter(session: Session) -> Party:
    """The charter version that the session was opened under."""
    number = session.charter.rpartition("@")[2]
    members: Mapping[str, Value] = {
        "name": session.task.kind,
        "version": int(number) if number.isdecimal() else 0,
        "owner": session.owner,
        "break_glass": session.break_glass,
    }
    return Party("Charter", session.task.kind, members)


def observed(session: Session) -> dict[str, str]:
    """The facts of its context that an attestor observed; what the workload said is not among them."""
    return {name: value for name, value in session.context.items() if is_attested(name)}


def _lived(session: Session, now: datetime) -> dict[str, Value]:
    return {
        **_asked(session),
        "phase": session.phase or "",
        "age_s": max(int((now - session.requested_at).total_seconds()), 0),
        "generation": session.generation,
        "renewals_left": session.renewals_left,
        "drift": session.drifts,
    }


def _asked(session: Session) -> dict[str, Value]:
    grants: Grants = session.grants
    attested = {f"{name}={value}" for name, value in observed(session).items()}
    return {
        "task_ref": session.task.ref,
        "grants": grants.names(),
        "targets": frozenset(grant.target for grant in grants.targets),
        "audiences": frozenset(grant.audience for grant in grants.audiences),
        "actions": frozenset(action for grant in grants.audiences for action in grant.actions),
        "attested": frozenset(attested),
    }
