"""The reference page of policies, made from the table of facts and the rules of `policy check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sojourn.core import lint
from sojourn.core.policy import Action
from sojourn.core.policy_facts import FACTS, MEMBERS, PARTIES
from sojourn.faces.http.rights import TAKES_AWAY

_ACTIONS: Final[Mapping[Action, str]] = {
    Action.OPEN: "may this session be opened, as its charter admits it?",
    Action.CONTINUE: "may it go on? asked at each beat, at a resumption, and when rules change",
    Action.USE: "may a token permit this action? asked whenever tokens are minted",
    Action.DELEGATE: "may it have a child with these of its grants?",
    Action.APPROVE: "may this operator say yes to it?",
    Action.OPERATE: "may this operator do this? asked at every operation, reading ones too",
}
_RULES: Final[Mapping[str, str]] = {
    "long-lifetime": f"sessions may last more than {lint.LONG}",
    "loose-lifetime": "19 of 20 sessions so far needed less than a quarter of what is allowed (`--server`)",
    "no-idle": f"sessions of more than {lint.LONG_WITHOUT_IDLE} never end for being idle",
    "long-silence": f"a workload may be silent for more than {lint.LONG_SILENCE}",
    "nobody-owns": "the owner is a placeholder, or owns no client that the server knows",
    "no-purpose": "the charter does not say what it is for",
    "wildcard": "a `*` where things are named to the letter, or a condition that is always true",
    "weak-class": f"a target of class D, where only expiry ends access, for more than {lint.LONGEST_WITH_D}",
    "class-unstated": "no `at_least` for a long session in a target whose class is not known",
    "unreachable-grant": "the first phase does not name it, or the policies refuse it to every client",
    "unattended-approval": "those who ask are those who approve",
    "no-permit": "nothing is permitted, so everything is refused",
    "unreachable-policy": "another policy forbids all that it permits",
    "unknown-name": "it names a charter or a client that no charter knows",
    "constant-condition": "a condition that is always the same",
    "not-valid": "the file cannot be read as a charter, or as policies that fit the schema",
}


def page() -> str:
    """The page."""
    assert _ACTIONS.keys() == set(Action)
    assert _RULES.keys() == lint.CITES.keys()
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield _HEAD
    for action, meaning in _ACTIONS.items():
        who, about = PARTIES[action]
        yield f"| `{action.value}` | `{who}` | `{about}` | {meaning} |"
    yield _FACTS
    for name, rule in FACTS.items():
        actions = ", ".join(f"`{action.value}`" for action in rule.actions)
        yield f"| `context.{name}` | `{rule.kind}` | {actions} | {rule.meaning} |"
    yield _MEMBERS
    for kind, members in MEMBERS.items():
        for name, (of, meaning) in members.items():
            yield f"| `{kind}` | `{name}` | `{of}` | {meaning} |"
    yield _REST.format(takes_away=", ".join(f"`{verb}`" for verb in sorted(TAKES_AWAY)))
    for rule_name, meaning in _RULES.items():
        yield f"| `{rule_name}` | {meaning} | {', '.join(lint.CITES[rule_name])} |"
    yield ""


_HEAD: Final = """# Policies

This page is made from the code by `scripts/reference`.
[Write a policy](../guides/write-a-policy.md) is the way in; the Cedar schema is [sojourn.cedarschema](sojourn.cedarschema).
A policy that does not fit the schema is refused with `bad_policy` when it is applied.

## Questions

| action | principal | resource | which asks |
|---|---|---|---|"""

_FACTS: Final = """
An entity is named by the name that people gave: `Sojourn::Workload::"ci"`, `Sojourn::Operator::"ada"`, `Sojourn::Charter::"release"`; a thing by kind and name, `Sojourn::Thing::"targets/shop"`.
Nothing stands in a hierarchy: use `==`, or members in a condition.

## Facts

| fact | type | brought by | meaning |
|---|---|---|---|"""

_MEMBERS: Final = """
## Members of principals and resources

| entity | member | type | meaning |
|---|---|---|---|"""

_REST: Final = """
## Annotations

| annotation | meaning |
|---|---|
| `@id("…")` | required, once each: lower-case letters, digits, `.`, `_`, `-`; refusals and explanations name it |
| `@otherwise("suspend")` | a living session that only such policies forbid is suspended, not ended |
| `@because("…")` | for those who read it |

## Operators

`context.verb` is the name of the operation as in [the OpenAPI document](openapi.json) (`operationId`), such as `apply_charter`, `list_sessions` or `kill`.
Some only take away: {takes_away}.
They are refused only where a policy forbids them without an error.

## Bounds

A set has at most 48,000 bytes and 400 policies, a policy at most 600 tokens; templates with slots are not taken.

## What `policy check` finds

| rule | what it means | controls |
|---|---|---|"""
