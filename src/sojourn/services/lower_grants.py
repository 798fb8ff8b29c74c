"""Lower grants of a running session in place: the same credential, made of a lesser template.

The commit says what may still be done and refuses tokens of the earlier generation; an errand
takes the rest away at the target, inside connections that stay. Descendants that hold the same
grant are lowered with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sojourn.config import Settings
from sojourn.core.change import Change, Errand, ErrandKind, Revocation
from sojourn.core.errors import Invalid, NotFound
from sojourn.core.ids import SessionId
from sojourn.core.lease import begin_narrow
from sojourn.core.record import Row, Step
from sojourn.core.scope import TargetGrant
from sojourn.core.session import LEAVING, Session, lower
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.provider import Narrowing, Providers
from sojourn.ports.store import Store
from sojourn.services._errands import new_errand, revoke
from sojourn.services._retry import decide_again


class LowerGrants:
    """Takes single rights of downstream credentials away; it never adds."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, *, providers: Providers, settings: Settings
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._providers = providers
        self._settings = settings

    async def __call__(self, session_id: SessionId, templates: Mapping[str, str]) -> Session:
        """The session, each grant named in `templates` made of the template given for it.

        Raises:
            NotFound: codes `unknown_session`, `unknown_target`, `unknown_template`.
            Invalid: codes `unknown_grant`, `not_narrower`, `cannot_narrow`.
            Conflict: code `wrong_state`, or `stale` after many lost races.
            TargetError: the target's provider cannot be made.
        """
        return await decide_again(lambda: self._attempt(session_id, templates), self._clock)

    async def _attempt(self, session_id: SessionId, templates: Mapping[str, str]) -> Session:
        family = await self._store.family(session_id)
        if not family:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        now = self._clock.now()
        step = lower(family[0], templates, now)
        if not step.facts:
            return step.row
        before = {grant.name: grant for grant in family[0].grants.targets if grant.name in templates}
        for name, grant in before.items():
            await self._check(grant, templates[name])
        steps, errands = await self._lowered(step, before, templates, now)
        refusals = [revoke(step.row, step.row.generation, self._settings, now)]
        for child in family[1:]:
            below = _shared(child, before, templates, now)
            if below is not None and below.facts:
                more, work = await self._lowered(below, before, templates, now)
                steps, errands = steps + more, errands + work
                refusals.append(revoke(below.row, below.row.generation, self._settings, now))
        await self._store.commit(_gather(steps, errands, refusals))
        return step.row

    async def _check(self, grant: TargetGrant, template: str) -> None:
        target = await self._store.target_named(grant.target)
        if target is None:
            raise NotFound("unknown_target", f"there is no target `{grant.target}`")
        if template not in target.templates:
            raise NotFound("unknown_template", f"target `{target.name}` has no template `{template}`")
        provider = await self._providers.of(target)
        if not isinstance(provider, Narrowing):
            raise Invalid("cannot_narrow", f"`{target.provider}` cannot narrow in place; drop the grant")
        provider.check_narrower(target.templates[grant.template], target.templates[template])

    async def _lowered(
        self,
        step: Step[Session],
        before: Mapping[str, TargetGrant],
        templates: Mapping[str, str],
        now: datetime,
    ) -> tuple[list[Step[Row]], list[Errand]]:
        leases = [one for one in await self._store.leases(step.row.id) if one.grant in before]
        moved = [begin_narrow(lease, templates[lease.grant], now) for lease in leases]
        narrowing = [one for one in moved if one.facts]
        errands = [new_errand(ErrandKind.NARROW, one.row, self._entropy, now) for one in narrowing]
        return [step, *narrowing], errands


def _shared(
    child: Session, before: Mapping[str, TargetGrant], templates: Mapping[str, str], now: datetime
) -> Step[Session] | None:
    """The child with the same grants lowered; None if it holds none of them, or is leaving."""
    held = {grant.name for grant in child.grants.targets if before.get(grant.name) == grant}
    if not held or child.state in LEAVING:
        return None
    return lower(child, {name: templates[name] for name in held}, now)


def _gather(steps: list[Step[Row]], errands: list[Errand], refusals: list[Revocation]) -> Change:
    return Change(steps=tuple(steps), errands=tuple(errands), revocations=tuple(refusals))
