"""What a session may do: named grants, each downstream or at a guarded audience.

A grant is either a credential made in a target from one of its templates, or a set of
actions at one audience. A session's grants only ever shrink: `narrow` removes whole grants
or single actions, and refuses anything it would have to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sojourn.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class TargetGrant:
    """A credential in `target`, made from the target's template `template`.

    `at_least` is the weakest revocation class, `A` to `D`, that the target may have.
    """

    name: str
    target: str
    template: str
    at_least: str | None = None


@dataclass(frozen=True, slots=True)
class AudienceGrant:
    """`actions` at the guarded API `audience`; carried by access tokens as their scope."""

    name: str
    audience: str
    actions: tuple[str, ...]  # sorted, without repeats, never empty


Grant = TargetGrant | AudienceGrant


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants a session holds, by kind, in the order of their names."""

    targets: tuple[TargetGrant, ...] = ()
    audiences: tuple[AudienceGrant, ...] = ()

    def each(self) -> Iterator[Grant]:
        """Every grant, downstream ones first."""
        yield from self.targets
        yield from self.audiences

    def names(self) -> frozenset[str]:
        """Every name in it."""
        return frozenset(g.name for g in self.each())

    def actions_at(self, audience: str) -> tuple[str, ...]:
        """The actions permitted at `audience`, sorted; empty when there are none."""
        found = {action for g in self.audiences if g.audience == audience for action in g.actions}
        return tuple(sorted(found))

    def within(self, outer: Grants) -> bool:
        """Whether nothing in it goes beyond `outer`."""
        return set(self.targets) <= set(outer.targets) and all(
            set(self.actions_at(g.audience)) <= set(outer.actions_at(g.audience)) for g in self.audiences
        )


def collect(grants: Iterable[Grant]) -> Grants:
    """Grants as one value, sorted by name, so that equal sets are equal values."""
    ordered = sorted(grants, key=lambda g: g.name)
    return Grants(
        tuple(g for g in ordered if isinstance(g, TargetGrant)),
        tuple(g for g in ordered if isinstance(g, AudienceGrant)),
    )


def choose(offered: Mapping[str, Grant], wanted: Iterable[str]) -> Grants:
    """The grants named in `wanted`, out of `offered`.

    Raises:
        Invalid: code `unknown_grant`; a name is not offered.
    """
    names = sorted(set(wanted))
    for name in names:
        if name not in offered:
            raise Invalid(
                "unknown_grant", f"no grant `{name}`; offered: {', '.join(sorted(offered)) or 'none'}"
            )
    return collect(offered[name] for name in names)


def meet(inner: Grants, outer: Grants) -> Grants:
    """What of `inner` lies within `outer`: each grant of both, each action of both."""
    held = frozenset(outer.targets)
    permitted = {grant.audience: frozenset(outer.actions_at(grant.audience)) for grant in inner.audiences}
    left = (
        replace(g, actions=tuple(a for a in g.actions if a in permitted[g.audience])) for g in inner.audiences
    )
    return Grants(tuple(g for g in inner.targets if g in held), tuple(g for g in left if g.actions))


def retemplate(grants: Grants, templates: Mapping[str, str]) -> Grants:
    """`grants` whose downstream ones named in `templates` are made from that template instead.

    Raises:
        Invalid: code `unknown_grant`; one is not held, or is not downstream.
    """
    if missing := sorted(templates.keys() - {g.name for g in grants.targets}):
        raise Invalid("unknown_grant", f"the session holds no downstream grant `{missing[0]}`")
    changed = (replace(g, template=templates.get(g.name, g.template)) for g in grants.targets)
    return Grants(tuple(changed), grants.audiences)


def narrow(grants: Grants, drop: Iterable[str], drop_actions: Iterable[str] = ()) -> Grants:
    """`grants` without the grants named in `drop` and without the actions in `drop_actions`.

    A grant whose last action goes, goes with it.

    Raises:
        Invalid: code `unknown_grant` or `unknown_action`; something to drop is not held.
    """
    gone, actions = frozenset(drop), frozenset(drop_actions)
    held = {action for g in grants.audiences for action in g.actions}
    if missing := sorted(gone - grants.names()):
        raise Invalid("unknown_grant", f"the session holds no grant `{missing[0]}`")
    if missing := sorted(actions - held):
        raise Invalid("unknown_action", f"the session holds no action `{missing[0]}`")
    left = (replace(g, actions=tuple(a for a in g.actions if a not in actions)) for g in grants.audiences)
    return Grants(
        tuple(g for g in grants.targets if g.name not in gone),
        tuple(g for g in left if g.actions and g.name not in gone),
    )
