"""What a careful reader would say of a policy set, and of charters under it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from cedarpy import pst

from sojourn.adapters.cedar_policy import CedarPolicies, children_of
from sojourn.core.charter import Charter
from sojourn.core.lint import Finding, Weight, found
from sojourn.core.policy import Action, Party, Question

_CLIENT: Final = "Workload"
_UNSEEN: Final = frozenset({"attested", "task_ref", "duration_s", "*"})
"""Facts that nobody can know before a session is asked for."""


def of_policies(policies: CedarPolicies, charters: Collection[Charter]) -> Iterator[Finding]:
    """What should be mended in a set."""
    templates = policies.templates()
    if not any(template.effect == "permit" for template in templates):
        yield found("no-permit", Weight.ERROR, "policies", "no policy permits anything, so all is refused")
    for template in templates:
        where = f"policy {template.id}"
        if any(isinstance(clause.expr, pst.BoolLit) for clause in template.clauses):
            yield found("constant-condition", Weight.WARNING, where, "a condition is always the same")
        if any(_is_star(node) for clause in template.clauses for node in _nodes(clause.expr)):
            yield found("wildcard", Weight.WARNING, where, '`like "*"` is always true')
        cover = next((one.id for one in templates if one is not template and _covers(one, template)), None)
        if cover is not None:
            yield found("unreachable-policy", Weight.WARNING, where, f"`{cover}` forbids all that it permits")
        yield from _names(template, charters, where)


def of_charters(policies: CedarPolicies, charters: Collection[Charter]) -> Iterator[Finding]:
    """Grants that a charter offers and the policies refuse to everybody whom it names."""
    for charter in charters:
        clients = {*charter.clients, *(opener.client for opener in charter.openers)}
        for name in charter.offered():
            if clients and all(_surely_refused(policies, charter, client, name) for client in clients):
                where = f"charter {charter.name}, grant {name}"
                yield found(
                    "unreachable-grant", Weight.WARNING, where, "the policies refuse it to every client"
                )


def _surely_refused(policies: CedarPolicies, charter: Charter, client: str, grant: str) -> bool:
    chosen = charter.offered()[grant]
    audience = getattr(chosen, "audience", None)
    target = getattr(chosen, "target", None)
    question = Question(
        Action.OPEN,
        Party(_CLIENT, client, {"name": client, "attestor": "private_key_jwt"}),
        Party(
            "Charter",
            charter.name,
            {
                "name": charter.name,
                "version": charter.number,
                "owner": charter.owner,
                "break_glass": charter.break_glass,
            },
        ),
        {
            "task_ref": "",
            "grants": frozenset({grant}),
            "targets": frozenset({target} if target else ()),
            "audiences": frozenset({audience} if audience else ()),
            "actions": frozenset(getattr(chosen, "actions", ())),
            "attested": frozenset(),
            "duration_s": int(charter.default_duration.total_seconds()),
        },
    )
    return not policies.judge(question).allowed and not policies.reads(question) & _UNSEEN


def _names(template: pst.Template, charters: Collection[Charter], where: str) -> Iterator[Finding]:
    """Heads that name a charter or client which no charter knows."""
    if not charters:
        return
    clients = {client for one in charters for client in one.clients}
    clients |= {opener.client for one in charters for opener in one.openers}
    known = {"Charter": {one.name for one in charters}, _CLIENT: clients}
    for head in (template.principal, template.resource):
        entity = getattr(head, "entity", None)
        if isinstance(entity, pst.EntityUid) and entity.id not in known.get(
            entity.type.basename, {entity.id}
        ):
            says = f"no charter knows the {entity.type.basename.lower()} `{entity.id}`"
            yield found("unknown-name", Weight.WARNING, where, says)


def _covers(one: pst.Template, other: pst.Template) -> bool:
    """Whether `one` forbids, without a condition, everything that `other` permits."""
    return (
        (one.effect, other.effect) == ("forbid", "permit")
        and not one.clauses
        and all(
            isinstance(wide, pst.ScopeAny) or wide == narrow
            for wide, narrow in (
                (one.principal, other.principal),
                (one.action, other.action),
                (one.resource, other.resource),
            )
        )
    )


def _is_star(node: Any) -> bool:
    return isinstance(node, pst.Like) and all(isinstance(part, pst.Wildcard) for part in node.pattern)


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in children_of(node):
        yield from _nodes(child)
