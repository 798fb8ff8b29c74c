"""Worlds with one deliberate mistake each: what the laws must catch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from sojourn.core.change import Change, Errand, Once, pin
from sojourn.core.ending import Cause
from sojourn.core.errors import TargetError
from sojourn.core.ids import SessionId
from sojourn.core.lease import Lease, LeaseState, begin_destroy, destroyed
from sojourn.core.record import Row, RowKind, Step
from sojourn.core.session import LEAVING, Session, begin_end, finish_end
from sojourn.ports.provider import Intent, Issued, Ref
from sojourn.ports.store import Store
from sojourn.services._ending import Ending
from sojourn.services._errands import revoke
from sojourn.services._reaping import Later, Look, Reaping
from sojourn.services.end_session import EndSession
from sojourn.services.open_child import OpenChild
from sojourn.services.reap_leases import ReapLeases
from sojourn.testing.fakes import FakeTarget
from tests.sim.world import World

_LATER_THAN_ANY_FENCE: Final = datetime(9999, 1, 1, tzinfo=UTC)


class _CredulousReaping(Reaping):
    async def _record_absence(self, errand: Errand, known: Lease, look: Look) -> Later | None:
        return await super()._record_absence(errand, known, replace(look, began=_LATER_THAN_ANY_FENCE))


class _HindsightReaping(Reaping):
    async def _record_absence(self, errand: Errand, known: Lease, look: Look) -> Later | None:
        settled_since = await self._store.lease(errand.lease)
        return await super()._record_absence(errand, settled_since or known, look)


class _ForgetfulReaping(Reaping):
    async def _locate(self, lease: Lease, provider: object) -> Lease:
        return lease


def _broken(kind: type[Reaping], whole: Reaping) -> Reaping:
    return kind(whole._store, whole._clock, whole._providers, kept=whole._kept, tolerance=whole._tolerance)


class CredulousReaper(World):
    """Believes the first absence it sees, though an issue may still land."""

    def break_reaper(self, reap: ReapLeases) -> None:
        reap._reaping = _broken(_CredulousReaping, reap._reaping)


class HindsightReaper(World):
    """Judges what it saw by what became known after it looked."""

    def break_reaper(self, reap: ReapLeases) -> None:
        reap._reaping = _broken(_HindsightReaping, reap._reaping)


class ForgetfulReaper(World):
    """Never looks for a credential whose id it was not told."""

    def break_reaper(self, reap: ReapLeases) -> None:
        reap._reaping = _broken(_ForgetfulReaping, reap._reaping)


class _LaxTarget(FakeTarget):
    def _create(self, intent: Intent) -> Issued:
        return super()._create(replace(intent, issue_by=_LATER_THAN_ANY_FENCE))


class BrokenFence(World):
    """Its targets take an issue that comes after its deadline."""

    def _target(self) -> FakeTarget:
        sound = super()._target()
        return _LaxTarget(self.clock, faults=sound.faults, latency_s=sound.latency_s, held_s=sound.held_s)


class _HastyEnd(EndSession):
    """Destroys first, and records what it hoped for afterwards."""

    def __init__(self, world: World, store: Store) -> None:
        super().__init__(store, world.clock, world.entropy, world.settings)
        self._world = world

    async def __call__(self, session_id: SessionId, cause: Cause) -> Session:
        session = await self._store.session(session_id)
        assert session is not None
        if session.state in LEAVING:
            return session
        now = self._clock.now()
        step = begin_end(session, cause, now)
        steps: list[Step[Row]] = [step.then(finish_end(step.row, now))]
        for lease in await self._store.leases(session_id):
            if lease.state is LeaseState.DESTROYED:
                continue
            await self._destroy(lease)
            going = begin_destroy(lease, now)
            steps.append(going.then(destroyed(going.row, "hope", _LATER_THAN_ANY_FENCE, now)))
        refusal = revoke(session, None, self._settings, now)
        await self._store.commit(Change(steps=tuple(steps), revocations=(refusal,)))
        return step.row

    async def _destroy(self, lease: Lease) -> None:
        try:
            await self._world.targets[lease.target_name].destroy(Ref(lease.handle, lease.target_ref))
        except TargetError:
            return


class HastyEnd(World):
    """Its door out destroys before the commit."""

    def make_end(self, store: Store) -> EndSession:
        return _HastyEnd(self, store)


class _CarelessEnd(EndSession):
    def _gather(self, endings: Sequence[Ending], now: datetime) -> Change:
        return replace(super()._gather(endings, now), pins=())


class CarelessEnd(World):
    """Its door out does not hold the leases that are already on their way out."""

    def make_end(self, store: Store) -> EndSession:
        return _CarelessEnd(store, self.clock, self.entropy, self.settings)


class _StealthyChild(OpenChild):
    def _gather(self, parent: Session, born: Step[Session], marks: tuple[Once, ...]) -> Change:
        change = super()._gather(parent, born, marks)
        return replace(change, steps=change.steps[1:], pins=(pin(RowKind.SESSION, parent),))


class StealthyChild(World):
    """A child joins without a trace in its parent's row: an end that did not see it lands all the same."""

    def make_open_child(self, store: Store) -> OpenChild:
        return _StealthyChild(store, self.clock, self.entropy, self.settings)


MUTANTS: Final = {
    "credulous_reaper": (CredulousReaper, "late_create"),
    "hindsight_reaper": (HindsightReaper, "late_create"),
    "forgetful_reaper": (ForgetfulReaper, "late_create"),
    "broken_fence": (BrokenFence, "late_create"),
    "hasty_end": (HastyEnd, "lost_answers"),
    "careless_end": (CarelessEnd, "kill_at_the_last_lease"),
    "stealthy_child": (StealthyChild, "family_trouble"),
}
