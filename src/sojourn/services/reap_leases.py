"""Carry out errands until each is done: destroy, observe, retry for ever, escalate.

One dead target must not delay another, so each has slots of its own and no errand of a
target whose slots are taken is claimed. A hold is short and renewed while its errand is
worked on, so that what a dead node held is soon free. Correctness never depends on who holds
an errand: a hold that ran out only means that work is done twice.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from sojourn.config import Settings
from sojourn.core.change import Change, Errand, pin
from sojourn.core.errors import Conflict, SojournError, Unavailable
from sojourn.core.ids import ERRAND, TargetId, to_uuid
from sojourn.core.lease import LeaseState
from sojourn.core.record import RowKind
from sojourn.core.session import State, finish_end
from sojourn.core.window import from_micros
from sojourn.ports.clock import Clock
from sojourn.ports.provider import Providers
from sojourn.ports.store import SessionFilter, Store
from sojourn.services._kept import KeptSecrets
from sojourn.services._reaping import Later, Reaping

SLOTS_PER_TARGET: Final = 4
"""Connections one target must spare for us; more would not make its DROPs faster."""

_CLAIM_AT_ONCE: Final = 4
"""No more than one target's slots, so that a claim never takes what it cannot start soon."""

_FIRST_RETRY_S: Final = 0.1
LOOK_EVERY_S: Final = 1.0
"""How late we notice an errand that another node queued."""

_RENEWALS_PER_HOLD: Final = 4
"""Two of them may fail before another node takes over what we still work on."""

_LEFTOVERS_EVERY_S: Final = 30.0
_LEFTOVERS_LIMIT: Final = 500


class ReapLeases:
    """Works through due errands, each target in its own bulkhead."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        providers: Providers,
        settings: Settings,
        *,
        holder: str,
        kept: KeptSecrets,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._holder = holder
        self._look_every_s = look_every_s
        self._reaping = Reaping(store, clock, providers, kept=kept, tolerance=settings.tolerance)
        self._busy: Counter[TargetId] = Counter()
        self._freed = asyncio.Event()
        self._looked_at = float("-inf")

    async def run_once(self) -> int:
        """Claim everything that is due now and see each errand through one attempt."""
        total = 0
        async with asyncio.TaskGroup() as group:
            while claimed := await self._start_due(group):
                total += claimed
        total += await self._finish_leftovers()
        return total

    async def run(self, woken: asyncio.Event) -> None:
        """Keep claiming; `woken` is set when a commit queued an errand. Never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_holding())
            while True:
                woken.clear()
                self._freed.clear()
                if await self._start_due(group):
                    continue
                await self._finish_leftovers()
                await self._idle(woken)

    async def _start_due(self, group: asyncio.TaskGroup) -> int:
        full = [target for target, count in self._busy.items() if count >= SLOTS_PER_TARGET]
        now = self._clock.now()
        claimed = await self._store.claim(
            self._holder, now, hold=self._settings.hold_errand, limit=_CLAIM_AT_ONCE, without=full
        )
        for errand in claimed:
            self._busy[errand.target] += 1
            group.create_task(self._carry_out(errand))
        return len(claimed)

    async def _keep_holding(self) -> None:
        hold = self._settings.hold_errand
        while True:
            await self._clock.sleep(hold.total_seconds() / _RENEWALS_PER_HOLD)
            if not self._busy:
                continue
            try:
                await self._store.hold_on(self._holder, self._clock.now() + hold)
            except SojournError:
                continue  # the next one may get through

    async def _idle(self, woken: asyncio.Event) -> None:
        due = await self._store.next_errand_at()
        wait_s = self._look_every_s
        if due is not None:
            wait_s = min(wait_s, max((due - self._clock.now()).total_seconds(), 0.01))
        waits = [asyncio.ensure_future(event.wait()) for event in (woken, self._freed)]
        try:
            await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _carry_out(self, errand: Errand) -> None:
        try:
            async with asyncio.timeout(self._settings.attempt_within.total_seconds()):
                later = await self._reaping.attempt(errand)
                if later is not None:
                    await self._give_back(errand, later)
        except (SojournError, TimeoutError) as error:
            await self._recover(errand, error)
        finally:
            self._busy[errand.target] -= 1
            if not self._busy[errand.target]:
                del self._busy[errand.target]
            self._freed.set()

    async def _recover(self, errand: Errand, error: SojournError | TimeoutError) -> None:
        why = str(error) or "timeout"
        try:
            await self._give_back(errand, Later(why))
        except (Unavailable, Conflict):
            return  # the hold runs out and somebody claims it again

    async def _give_back(self, errand: Errand, later: Later) -> None:
        now = self._clock.now()
        if later.residual or now - made_at(errand) >= self._settings.stuck_after:
            await self._record_stuck(errand, later)
        at = later.at or now + self._backoff(errand)
        if later.over_at is not None and later.over_at > now:
            at = min(at, later.over_at)
        await self._store.postpone(errand.id, self._holder, at, later.why)

    async def _record_stuck(self, errand: Errand, later: Later) -> None:
        target = await self._store.target(errand.target)
        place = target.name if target else errand.target
        where = f"{place}: {later.residual}" if later.residual else place
        await self._reaping.record_stuck(errand, where, later.until)

    def _backoff(self, errand: Errand) -> timedelta:
        """Doubling, between half and all of it, never longer than the ceiling, for ever."""
        ceiling = self._settings.retry_ceiling.total_seconds()
        full_s = min(ceiling, _FIRST_RETRY_S * 2.0 ** min(max(errand.attempts - 1, 0), 20))
        spread = zlib.crc32(f"{errand.id}:{errand.attempts}".encode()) / 2**32
        return timedelta(seconds=full_s * (0.5 + spread / 2))

    async def _finish_leftovers(self) -> int:
        """Finish sessions that are leaving and hold nothing: a second belt, never needed so far."""
        if self._clock.monotonic() - self._looked_at < _LEFTOVERS_EVERY_S:
            return 0
        self._looked_at = self._clock.monotonic()
        leaving = SessionFilter(states=frozenset({State.REVOKING}))
        count = 0
        for session in await self._store.sessions(leaving, after=None, limit=_LEFTOVERS_LIMIT):
            leases = await self._store.leases(session.id)
            if any(lease.state is not LeaseState.DESTROYED for lease in leases):
                continue
            pins = tuple(pin(RowKind.LEASE, lease) for lease in leases)
            try:
                await self._store.commit(Change(steps=(finish_end(session, self._clock.now()),), pins=pins))
            except Conflict:
                continue  # somebody else finished it
            count += 1
        return count


def made_at(errand: Errand) -> datetime:
    """When the errand was recorded: its id is a UUIDv7, whose first 48 bits are milliseconds."""
    return from_micros((to_uuid(ERRAND, errand.id).int >> 80) * 1000)
