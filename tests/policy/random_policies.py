"""Random policy sets that fit the schema, and random questions for them; the same for a seed."""

from __future__ import annotations

import random
from typing import Final

from sojourn.core.policy import Action, Party, Question, Value
from sojourn.core.policy_facts import MEMBERS, PARTIES, facts_of

NAMES: Final = ("a", "b", "prod")
NUMBERS: Final = (0, 1, 7, 60, 2**62)


def a_set(chosen: random.Random) -> str:
    """A policy set of a few policies, most of them with conditions."""
    return "\n".join(_policy(chosen, f"p{i}") for i in range(chosen.randint(1, 12)))


def a_question(chosen: random.Random) -> Question:
    """A question with the facts of its action."""
    action = chosen.choice(list(Action))
    who, about = PARTIES[action]
    facts = {name: _fact(chosen, kind) for name, kind in facts_of(action).items()}
    return Question(action, _party(chosen, who), _party(chosen, about), facts)


def _party(chosen: random.Random, kind: str) -> Party:
    members = {name: _fact(chosen, of) for name, (of, _) in MEMBERS[kind].items()}
    return Party(kind, chosen.choice(NAMES), members)


def _fact(chosen: random.Random, kind: str) -> Value:
    match kind:
        case "String":
            return chosen.choice(NAMES)
        case "Long":
            return chosen.choice(NUMBERS)
        case "Bool":
            return chosen.random() < 0.5
        case _:
            return frozenset(name for name in NAMES if chosen.random() < 0.4)


def _policy(chosen: random.Random, name: str) -> str:
    action = chosen.choice(list(Action))
    who, about = PARTIES[action]
    effect = chosen.choice(("permit", "permit", "forbid"))
    principal = _head(chosen, "principal", who)
    resource = _head(chosen, "resource", about)
    clauses = " ".join(
        f"{chosen.choice(('when', 'unless'))} {{ {_condition(chosen, action, 3)} }}"
        for _ in range(chosen.randint(0, 2))
    )
    head = f'{principal}, action == Sojourn::Action::"{action.value}", {resource}'
    if not clauses and chosen.random() < 0.3:
        head = "principal, action, resource"
    return f'@id("{name}") {effect} ({head}) {clauses};'


def _head(chosen: random.Random, variable: str, kind: str) -> str:
    return chosen.choice(
        (
            variable,
            f"{variable} is Sojourn::{kind}",
            f'{variable} == Sojourn::{kind}::"{chosen.choice(NAMES)}"',
        )
    )


def _condition(chosen: random.Random, action: Action, depth: int) -> str:
    if depth and chosen.random() < 0.6:
        left, right = (_condition(chosen, action, depth - 1) for _ in range(2))
        return chosen.choice(
            (
                f"({left} && {right})",
                f"({left} || {right})",
                f"!({left})",
                f"(if {left} then {right} else false)",
            )
        )
    return _atom(chosen, action)


def _atom(chosen: random.Random, action: Action) -> str:
    who, about = PARTIES[action]
    kinds = {f"context.{name}": kind for name, kind in facts_of(action).items()}
    kinds |= {f"principal.{name}": kind for name, (kind, _) in MEMBERS[who].items()}
    kinds |= {f"resource.{name}": kind for name, (kind, _) in MEMBERS[about].items()}
    place = chosen.choice(sorted(kinds))
    name, number = chosen.choice(NAMES), chosen.choice(NUMBERS)
    match kinds[place]:
        case "String":
            return chosen.choice(
                (f'{place} == "{name}"', f'{place} != "{name}"', f'{place} like "*{name[:1]}*"')
            )
        case "Long":
            sign = chosen.choice(("<", "<=", ">", ">=", "=="))
            return chosen.choice((f"{place} {sign} {number}", f"{place} * 4 {sign} {number}"))
        case "Bool":
            return place
        case _:
            return chosen.choice(
                (
                    f'{place}.contains("{name}")',
                    f'{place}.containsAny(["{name}", "b"])',
                    f'{place}.containsAll(["{name}"])',
                )
            )
