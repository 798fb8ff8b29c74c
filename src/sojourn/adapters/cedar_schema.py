"""The Cedar schema of our policies, made from the table of facts in the core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sojourn.core.policy import Action
from sojourn.core.policy_facts import MEMBERS, PARTIES, facts_of

NAMESPACE: Final = "Sojourn"


def schema_text() -> str:
    """The schema in Cedar's own words, as it is published."""
    return "\n".join((f"namespace {NAMESPACE} {{", *_entities(), *_actions(), "}", ""))


def _entities() -> Iterator[str]:
    for kind, members in MEMBERS.items():
        listed = ", ".join(f"{name}: {of}" for name, (of, _) in members.items())
        yield f"  entity {kind} = {{ {listed} }};"


def _actions() -> Iterator[str]:
    for action in Action:
        who, about = PARTIES[action]
        yield f"  action {action.value} appliesTo {{"
        yield f"    principal: {who},"
        yield f"    resource: {about},"
        yield "    context: {"
        for name, kind in facts_of(action).items():
            yield f"      {name}: {kind},"
        yield "    },"
        yield "  };"
