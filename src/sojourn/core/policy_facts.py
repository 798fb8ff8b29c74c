"""What a policy may look at: the closed set of facts, for each action, with their types.

The Cedar schema, the reference page and the reader of test cases are made from this table;
a policy that looks at anything else is refused when it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.core.policy import Action, Question, Value

_SESSION: Final = (Action.CONTINUE, Action.USE, Action.DELEGATE, Action.APPROVE)
_PAST: Final = (Action.CONTINUE, Action.DELEGATE, Action.APPROVE)
_ASKED: Final = (Action.OPEN, *_SESSION)

KINDS: Final[Mapping[str, type]] = {"String": str, "Long": int, "Bool": bool, "Set<String>": frozenset}


@dataclass(frozen=True, slots=True)
class FactRule:
    """One fact: its type in Cedar, the actions that bring it, what it means."""

    kind: str
    actions: tuple[Action, ...]
    meaning: str


FACTS: Final[Mapping[str, FactRule]] = {
    "task_ref": FactRule("String", _ASKED, "the REF of `--task KIND:REF`"),
    "grants": FactRule("Set<String>", _ASKED, "names of the grants asked for, or held"),
    "targets": FactRule("Set<String>", _ASKED, "names of the targets of these grants"),
    "audiences": FactRule("Set<String>", _ASKED, "audiences of these grants"),
    "actions": FactRule("Set<String>", _ASKED, "actions at audiences of these grants"),
    "attested": FactRule("Set<String>", _ASKED, "observed facts of the execution context, as `name=value`"),
    "duration_s": FactRule("Long", (Action.OPEN,), "the duration asked for, in seconds"),
    "phase": FactRule("String", _SESSION, "the phase that the session is in; empty without phases"),
    "age_s": FactRule("Long", _SESSION, "seconds since the session was asked for"),
    "generation": FactRule("Long", _SESSION, "raised by each suspension, resumption and narrowing"),
    "renewals_left": FactRule("Long", _SESSION, "how often it may still be renewed"),
    "drift": FactRule("Long", _SESSION, "how often a pinned fact was seen to differ, and suspended it"),
    "uses": FactRule("Long", _PAST, "calls that guards reported or reserved for it and its family"),
    "failures": FactRule(
        "Long", _PAST, "calls that guarded APIs answered with an error (4xx, 5xx), family included"
    ),
    "prior": FactRule("Set<String>", _PAST, "what it did so far, as `audience action`"),
    "approvals": FactRule("Long", _PAST, "how many people said yes to it"),
    "renew": FactRule("Bool", (Action.CONTINUE,), "whether the beat asks for a renewal"),
    "audience": FactRule("String", (Action.USE,), "the audience that a token would be for"),
    "action": FactRule("String", (Action.USE,), "the action that it would permit there"),
    "child_grants": FactRule("Set<String>", (Action.DELEGATE,), "names of the grants that a child would get"),
    "child_depth": FactRule("Long", (Action.DELEGATE,), "how many sessions would stand above the child"),
    "requester": FactRule("String", (Action.APPROVE,), "the client that asked for the session"),
    "verb": FactRule("String", (Action.OPERATE,), "what the operator does: the name of the operation"),
    "owner": FactRule("String", (Action.OPERATE,), "who answers for the thing; empty if nobody does"),
}

HISTORY: Final[Mapping[str, Value]] = {"uses": 0, "failures": 0, "prior": frozenset(), "approvals": 0}
"""Facts that must be looked up; they are, where a policy that might matter looks at them."""

MEMBERS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Workload": {
        "name": ("String", "the name of the client"),
        "attestor": ("String", "the kind of evidence that it was recognised by"),
    },
    "Operator": {"name": ("String", "the name of the client"), "owner": ("String", "whom it acts for")},
    "Charter": {
        "name": ("String", "the kind of task"),
        "version": ("Long", "the number of the charter version"),
        "owner": ("String", "who answers for the charter"),
        "break_glass": ("Bool", "whether it is for emergencies"),
    },
    "Thing": {
        "kind": ("String", "`sessions`, `targets`, `charters`, `clients`, `policies` …"),
        "name": ("String", "its name or id; empty where the operation names none"),
    },
}

PARTIES: Final[Mapping[Action, tuple[str, str]]] = {
    Action.OPEN: ("Workload", "Charter"),
    Action.CONTINUE: ("Workload", "Charter"),
    Action.USE: ("Workload", "Charter"),
    Action.DELEGATE: ("Workload", "Charter"),
    Action.APPROVE: ("Operator", "Charter"),
    Action.OPERATE: ("Operator", "Thing"),
}


def facts_of(action: Action) -> Mapping[str, str]:
    """The facts that a question about `action` brings, with their types."""
    return {name: rule.kind for name, rule in FACTS.items() if action in rule.actions}


def fits(question: Question) -> bool:
    """Whether the question brings exactly the facts and members that belong to its action."""
    who, about = PARTIES[question.action]
    return (
        (question.who.kind, question.about.kind) == (who, about)
        and _typed(question.facts, facts_of(question.action))
        and _typed(question.who.members, {n: kind for n, (kind, _) in MEMBERS[who].items()})
        and _typed(question.about.members, {n: kind for n, (kind, _) in MEMBERS[about].items()})
    )


def _typed(given: Mapping[str, Value], wanted: Mapping[str, str]) -> bool:
    return given.keys() == wanted.keys() and all(type(given[n]) is KINDS[kind] for n, kind in wanted.items())
