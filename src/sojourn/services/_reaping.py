"""One attempt at one errand: what a target said becomes what is on record, and no more.

Destroying: find the immutable id and record it, destroy, then ask the target itself. Only
`absent`, observed when no issue can still land, makes a lease destroyed; so does the end that
its target names, once that is past, where the target cannot be asked. The last lease ends its
session in the same commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from sojourn.core.change import Change, Errand, ErrandKind, pin
from sojourn.core.errors import TargetError
from sojourn.core.ids import LEASE
from sojourn.core.lease import (
    Counted,
    Lease,
    LeaseState,
    Residual,
    absence_counts,
    destroyed,
    frozen,
    is_over,
    located,
    narrowed,
    stuck,
)
from sojourn.core.record import Row, RowKind, Step
from sojourn.core.session import Session, State, finish_end
from sojourn.core.target import Target
from sojourn.core.window import show
from sojourn.ports.clock import Clock
from sojourn.ports.provider import (
    CountsUse,
    Narrowing,
    Observation,
    Presence,
    Provider,
    Providers,
    Ref,
)
from sojourn.ports.store import Store
from sojourn.services._errands import made_at
from sojourn.services._kept import KeptSecrets, forgotten
from sojourn.services._retry import decide_until_it_lands

_HOLDING: Final = frozenset({LeaseState.PLANNED, LeaseState.ISSUED, LeaseState.FROZEN})
_CONNECTION_CUT: Final = frozenset({Presence.ABSENT, Presence.QUARANTINED})
_ENDS_BY_ITSELF: Final = frozenset({Presence.UNKNOWN, Presence.LINGERING})


@dataclass(frozen=True, slots=True)
class Later:
    """The errand is not done: why, and when to try again if that is known."""

    why: str
    at: datetime | None = None
    residual: str = ""  # what is known to be left, if anything is
    until: datetime | None = None  # when that ends by itself
    over_at: datetime | None = None  # when it is worth looking again, at the latest


@dataclass(frozen=True, slots=True)
class Look:
    """What a target answered to a look that began at `began`, and what it counted of the use."""

    seen: Observation
    began: datetime
    used: Counted | None = None


@dataclass(frozen=True, slots=True)
class Proven:
    """A look that saw a credential gone, and the lease as it was on record before the target was asked."""

    lease: Lease
    look: Look


class Reaping:
    """Carries out errands against their targets."""

    def __init__(
        self, store: Store, clock: Clock, providers: Providers, *, kept: KeptSecrets, tolerance: timedelta
    ) -> None:
        self._store = store
        self._clock = clock
        self._providers = providers
        self._kept = kept
        self._tolerance = tolerance

    async def attempt(self, errand: Errand) -> Later | Proven | None:
        """Try once; None when the errand is done and on record as done, a proof when only that is left.

        Raises:
            TargetError: the target failed, or did not answer.
        """
        lease = await self._store.lease(errand.lease)
        if lease is None:
            await self._store.commit(Change(done=(errand.id,)))
            return None
        match errand.kind:
            case ErrandKind.DESTROY:
                return await self._destroy(errand, lease)
            case ErrandKind.FREEZE:
                return await self._freeze(errand, lease)
            case ErrandKind.NARROW:
                return await self._narrow(errand, lease)
            case _:
                assert_never(errand.kind)

    # -- destroy -----------------------------------------------------------------------
    async def conclude(self, errand: Errand, proven: Proven) -> Later | None:
        """Put on record what a destruction proved; None when the errand is done."""
        return await decide_until_it_lands(
            lambda: self._record_absence(errand, proven.lease, proven.look), self._clock
        )

    async def _destroy(self, errand: Errand, lease: Lease) -> Later | Proven | None:
        if lease.state is not LeaseState.DESTROYING:  # destroyed already, by another errand
            await self._store.commit(Change(done=(errand.id,)))
            return None
        provider = await self._provider(lease)
        lease = await self._locate(lease, provider)
        ref = await self._ref(lease)
        if ref.target_id is not None:
            await provider.destroy(ref)
        began = self._clock.now()
        seen = self._judged(await provider.observe(ref), began)
        used = await _counted(provider, lease, ref) if seen.presence is Presence.ABSENT else None
        return self._judge(lease, Look(seen, began, used))

    async def _locate(self, lease: Lease, provider: Provider) -> Lease:
        """The lease with its immutable id on record, if the target has a credential for it.

        Recorded before anything is removed: afterwards the name would say nothing about the
        connections that are left.
        """
        if lease.target_ref is not None:
            return lease
        found = await provider.locate(lease.handle)
        if found is None:
            return lease

        async def record() -> Lease:
            current = await self._store.lease(lease.id) or lease
            step = located(current, found, self._clock.now())
            if step.facts:
                await self._store.commit(Change(steps=(step,)))
            return step.row

        return await decide_until_it_lands(record, self._clock)

    def _judge(self, lease: Lease, look: Look) -> Later | Proven:
        seen = look.seen
        match seen.presence:
            case Presence.ABSENT:
                return Proven(lease, look)
            case Presence.QUARANTINED:
                left = ", ".join(f"{name}={value}" for name, value in sorted(seen.detail.items()))
                return Later("quarantined", residual=left or "owned objects")
            case Presence.LINGERING | Presence.PRESENT | Presence.UNKNOWN:
                return self._still(seen)
            case _:
                assert_never(seen.presence)

    def _judged(self, seen: Observation, observed_from: datetime) -> Observation:
        """What was seen, as an absence if the end that the target named was past by then."""
        lasting = seen.lasting
        if lasting is None or seen.presence not in _ENDS_BY_ITSELF:
            return seen
        if not is_over(lasting.until, observed_from, self._tolerance):
            return seen
        method = f"ended by itself at {show(lasting.until)}, {lasting.place}; {seen.method}"
        return replace(seen, presence=Presence.ABSENT, method=method)

    def _still(self, seen: Observation) -> Later:
        why, lasting = f"still {seen.presence}", seen.lasting
        if lasting is None:
            return Later(why)
        return Later(
            why, residual=lasting.place, until=lasting.until, over_at=lasting.until + self._tolerance
        )

    async def _record_absence(self, errand: Errand, known: Lease, look: Look) -> Later | None:
        """Commit `destroyed`; the last lease of a session that is leaving ends it too.

        `known` is the lease as it was on record before the target was asked.
        """
        session, leases = await asyncio.gather(
            self._store.session(errand.session), self._store.leases(errand.session)
        )
        lease = next((one for one in leases if one.id == errand.lease), None)
        if session is None or lease is None or lease.state is not LeaseState.DESTROYING:
            await self._store.commit(Change(done=(errand.id,)))
            return None
        # INVARIANT: judged by what was known before the look. An issue may have landed after
        # it and been answered since: that answer must not make the earlier look a proof.
        if not absence_counts(known, look.began):
            at = self._clock.now() if lease.settled else lease.issue_by
            return Later("an issue may still land", at=at)
        now = self._clock.now()
        steps: list[Step[Row]] = [destroyed(lease, look.seen.method, look.began, now, used=look.used)]
        others = [one for one in leases if one.id != lease.id]
        pins = [pin(RowKind.LEASE, one) for one in others]
        last = all(one.state is LeaseState.DESTROYED for one in others)
        if last and session.state is State.REVOKING:
            steps.append(finish_end(session, now))
        elif session.state is not State.REVOKING:
            # INVARIANT: if its end begins meanwhile we read again, or nobody would finish it.
            pins.append(pin(RowKind.SESSION, session))
        change = Change(steps=tuple(steps), pins=tuple(pins), done=(errand.id,), sealed=forgotten(lease))
        await self._store.commit(change)
        return None

    # -- freeze ------------------------------------------------------------------------
    async def _freeze(self, errand: Errand, lease: Lease) -> Later | None:
        session = await self._store.session(errand.session)
        if session is None or not _is_to_be_frozen(lease, session):
            await self._store.commit(Change(done=(errand.id,)))
            return None
        if not absence_counts(lease, self._clock.now()):
            # A thaw may still land and would undo it; the freeze is sent at once all the same.
            provider = await self._provider(lease)
            await provider.freeze(await self._ref(lease))
            return Later("a thaw may still land", at=lease.issue_by)
        provider = await self._provider(lease)
        ref = await self._ref(lease)
        await provider.freeze(ref)
        seen = await provider.observe(ref)
        if not _is_cut_off(seen):
            return Later(f"still {seen.presence}")
        return await decide_until_it_lands(lambda: self._record_frozen(errand, lease, seen), self._clock)

    async def _record_frozen(self, errand: Errand, known: Lease, seen: Observation) -> Later | None:
        lease = await self._store.lease(errand.lease)
        session = await self._store.session(errand.session)
        if lease is None or session is None or not _is_to_be_frozen(lease, session):
            await self._store.commit(Change(done=(errand.id,)))
            return None
        if lease.version != known.version:  # it may have been thawed since we looked
            return Later("it changed meanwhile", at=self._clock.now())
        step = frozen(lease, seen.method, self._clock.now())
        pins = (pin(RowKind.SESSION, session),)
        await self._store.commit(Change(steps=(step,), pins=pins, done=(errand.id,)))
        return None

    # -- narrow ------------------------------------------------------------------------
    async def _narrow(self, errand: Errand, lease: Lease) -> Later | None:
        if lease.narrowing is None or lease.state not in _HOLDING:
            await self._store.commit(Change(done=(errand.id,)))
            return None
        if lease.state is LeaseState.PLANNED:  # it may be made with what it was to have
            return Later("it is not there yet", at=lease.issue_by)
        target = await self._target(lease)
        provider = await self._providers.of(target)
        if not isinstance(provider, Narrowing):
            return Later("its provider cannot narrow it in place", residual=f"rights of `{lease.narrowing}`")
        method = await provider.narrow(await self._ref(lease), target.templates[lease.template])
        return await decide_until_it_lands(lambda: self._record_narrowed(errand, lease, method), self._clock)

    async def _record_narrowed(self, errand: Errand, known: Lease, method: str) -> Later | None:
        lease = await self._store.lease(errand.lease)
        if lease is None or lease.template != known.template:  # narrowed again: by an errand of its own
            await self._store.commit(Change(done=(errand.id,)))
            return None
        step = narrowed(lease, method, self._clock.now())
        await self._store.commit(Change(steps=(step,) if step.facts else (), done=(errand.id,)))
        return None

    # -- all --------------------------------------------------------------------------
    async def _provider(self, lease: Lease) -> Provider:
        return await self._providers.of(await self._target(lease))

    async def _target(self, lease: Lease) -> Target:
        target = await self._store.target(lease.target)
        if target is None:
            raise TargetError("unknown_target", f"target `{lease.target_name}` is not on record", sent=False)
        return target

    async def _ref(self, lease: Lease) -> Ref:
        """What is on record of a credential, for its provider."""
        lands_by = None if lease.settled else lease.issue_by
        kept = await self._kept.of(lease)
        return Ref(lease.handle, lease.target_ref, lease.expires_at, lands_by, kept)

    async def record_stuck(self, errand: Errand, place: str, until: datetime | None) -> None:
        """Say where something is left, and who answers for it; once for as long as it is so."""

        async def record() -> None:
            lease = await self._store.lease(errand.lease)
            session = await self._store.session(errand.session)
            if lease is None or session is None:
                return
            step = stuck(lease, Residual(place, until, session.owner), self._clock.now())
            if step.facts:
                await self._store.commit(Change(steps=(step,)))

        await decide_until_it_lands(record, self._clock)


async def _counted(provider: Provider, lease: Lease, ref: Ref) -> Counted | None:
    """What the target counted of its use; whatever goes wrong, it is only not known."""
    if ref.target_id is None or not isinstance(provider, CountsUse):
        return None
    try:
        return await provider.count_use(ref, made_at(LEASE, lease.id))
    except TargetError:
        return None


def _is_to_be_frozen(lease: Lease, session: Session) -> bool:
    return lease.state is LeaseState.ISSUED and session.state is State.SUSPENDED


def _is_cut_off(seen: Observation) -> bool:
    """Whether it cannot be used: gone, or there without a login and without live work."""
    if seen.presence in _CONNECTION_CUT:
        return True
    return (
        seen.presence is Presence.PRESENT and not seen.detail.get("login") and not seen.detail.get("issuing")
    )
