"""A second evaluator of Cedar policies, as plain as can be: what the engine must agree with.

Read off the language's own rules: a policy applies if its head matches and every condition
holds; one that errs is skipped and told; a forbid wins; without a permit nothing is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cedarpy import pst

from sojourn.core.policy import Party, Question


class CannotEvaluateError(Exception):
    """The policy errs on this question."""


Answer = tuple[bool, tuple[str, ...], bool]  # allowed, policies that decided, whether any erred


def judge(policies: Iterable[pst.Template], question: Question) -> Answer:
    """What the policies say."""
    holding: dict[str, list[str]] = {"permit": [], "forbid": []}
    erred = False
    for policy in policies:
        if not _head(policy, question):
            continue
        try:
            if all(_clause(clause, question) for clause in policy.clauses):
                holding[policy.effect].append(policy.id)
        except CannotEvaluateError:
            erred = True
    allowed = bool(holding["permit"]) and not holding["forbid"] and not erred
    return allowed, tuple(sorted(holding["forbid"] or holding["permit"])), erred


def _head(policy: pst.Template, question: Question) -> bool:
    return (
        _action(policy.action, question.action.value)
        and _party(policy.principal, question.who)
        and _party(policy.resource, question.about)
    )


def _action(head: Any, action: str) -> bool:
    if isinstance(head, pst.ActionEq):
        return bool(head.entity.id == action)
    if isinstance(head, pst.ActionIn):
        return action in {entity.id for entity in head.entities}
    return True


def _party(head: Any, party: Party) -> bool:
    if isinstance(head, pst.ScopeAny):
        return True
    if isinstance(head, pst.ScopeIs):
        return bool(head.entity_type.basename == party.kind)
    return bool((head.entity.type.basename, head.entity.id) == (party.kind, party.name))


def _clause(clause: Any, question: Question) -> bool:
    value = _truth(_value(clause.expr, question))
    return value if isinstance(clause, pst.When) else not value


def _value(node: Any, question: Question) -> Any:
    match node:
        case pst.BoolLit(value=value) | pst.LongLit(value=value) | pst.StringLit(value=value):
            return value
        case pst.Set(elements=elements):
            return frozenset(_value(one, question) for one in elements)
        case pst.GetAttr(base=pst.Var(name=name), attr=attr):
            return _members(name, question)[attr]
        case pst.UnaryOp(op="not", arg=arg):
            return not _truth(_value(arg, question))
        case pst.BinaryOp(op="and", left=left, right=right):
            return _truth(_value(left, question)) and _truth(_value(right, question))
        case pst.BinaryOp(op="or", left=left, right=right):
            return _truth(_value(left, question)) or _truth(_value(right, question))
        case pst.BinaryOp(op=op, left=left, right=right):
            return _operation(op, _value(left, question), _value(right, question))
        case pst.Like(base=base, pattern=pattern):
            return _like(_value(base, question), list(pattern))
        case pst.IfThenElse(cond=cond, then_expr=yes, else_expr=no):
            return _value(yes if _truth(_value(cond, question)) else no, question)
        case _:
            raise NotImplementedError(repr(node))


def _members(name: str, question: Question) -> Any:
    return {"context": question.facts, "principal": question.who.members, "resource": question.about.members}[
        name
    ]


def _operation(op: str, left: Any, right: Any) -> Any:
    match op:
        case "eq":
            return type(left) is type(right) and left == right
        case "not_eq":
            return not (type(left) is type(right) and left == right)
        case "less":
            return left < right
        case "less_eq":
            return left <= right
        case "greater":
            return left > right
        case "greater_eq":
            return left >= right
        case "contains":
            return right in left
        case "contains_all":
            return right <= left
        case "contains_any":
            return bool(right & left)
        case "mul":
            found = left * right
            if not -(2**63) <= found < 2**63:
                raise CannotEvaluateError
            return found
        case _:
            raise NotImplementedError(op)


def _like(text: str, pattern: list[Any]) -> bool:
    if not pattern:
        return not text
    first, rest = pattern[0], pattern[1:]
    if isinstance(first, pst.Wildcard):
        return any(_like(text[i:], rest) for i in range(len(text) + 1))
    return text[:1] == first.value and _like(text[1:], rest)


def _truth(value: Any) -> bool:
    assert isinstance(value, bool)
    return value
