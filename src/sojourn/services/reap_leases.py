"""Carry out errands until each is done: destroy, observe, retry for ever, escalate.

One dead target must not delay another, so each has slots of its own and a short queue before
them; of a target whose queue is not almost empty nothing is claimed. What several destructions
proved is put on record together where more are waiting: one durable write. A hold is short and
renewed while its errand waits or is worked on, so that what a dead node held is soon free.
Correctness never depends on who holds an errand: a hold that ran out only means that work is
done twice.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter, deque
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final

from sojourn.config import Settings
from sojourn.core.change import Change, Errand, pin
from sojourn.core.errors import Conflict, SojournError, Unavailable
from sojourn.core.ids import ERRAND, ErrandId, TargetId
from sojourn.core.lease import LeaseState
from sojourn.core.record import RowKind
from sojourn.core.session import State, finish_end
from sojourn.ports.clock import Clock
from sojourn.ports.provider import Providers
from sojourn.ports.store import SessionFilter, Store
from sojourn.services._errands import made_at
from sojourn.services._kept import KeptSecrets
from sojourn.services._reaping import Later, Proven, Reaping

SLOTS_PER_TARGET: Final = 8
"""Twice the connections that a provider keeps: what one target is sent goes on while we read and write."""

_CLAIM_AT_ONCE: Final = 16
"""A claim is a durable write, which a destruction should not wait for: one serves two rounds of slots."""

_ALMOST_EMPTY: Final = SLOTS_PER_TARGET
"""With so much left in a target's queue the next claim is there in time."""

_TOGETHER_S: Final = 0.1
"""How long a proof waits for others to be recorded with it, while its target has more to do."""

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
        self._queues: dict[TargetId, deque[Errand]] = {}  # claimed, and not begun
        self._proven: dict[TargetId, list[tuple[Errand, Proven]]] = {}  # and not on record
        self._held: set[ErrandId] = set()
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
        self._busy.clear()  # after an error nothing is under way
        self._queues.clear()
        self._proven.clear()
        self._held.clear()
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
        claimed = await self._store.claim(
            self._holder,
            self._clock.now(),
            hold=self._settings.hold_errand,
            limit=_CLAIM_AT_ONCE,
            without=self._supplied(),
        )
        for errand in claimed:
            self._queues.setdefault(errand.target, deque()).append(errand)
            self._held.add(errand.id)
        for target in sorted({errand.target for errand in claimed}):
            for _ in range(min(SLOTS_PER_TARGET - self._busy[target], len(self._queues[target]))):
                self._busy[target] += 1
                group.create_task(self._work_through(target, group))
        return len(claimed)

    def _supplied(self) -> list[TargetId]:
        """The targets that have enough to do."""
        return [target for target, queue in self._queues.items() if len(queue) > _ALMOST_EMPTY]

    async def _work_through(self, target: TargetId, group: asyncio.TaskGroup) -> None:
        """One slot of `target`: one errand after another until none is left."""
        queue = self._queues[target]
        try:
            while queue:
                errand = queue.popleft()
                if len(queue) <= _ALMOST_EMPTY:
                    self._freed.set()
                proven = await self._carry_out(errand, self._reaping.attempt(errand))
                if proven is not None:
                    await self._record(errand, proven, group)
        finally:
            self._busy[target] -= 1
            if not self._busy[target]:
                del self._busy[target], self._queues[target]
            self._freed.set()

    async def _keep_holding(self) -> None:
        hold = self._settings.hold_errand
        while True:
            await self._clock.sleep(hold.total_seconds() / _RENEWALS_PER_HOLD)
            if not self._held:
                continue
            try:
                await self._store.hold_on(self._holder, self._clock.now() + hold, tuple(self._held))
            except SojournError:
                continue  # the next one may get through

    async def _idle(self, woken: asyncio.Event) -> None:
        due = await self._store.next_errand_at(without=self._supplied())
        wait_s = self._look_every_s
        if due is not None:
            wait_s = min(wait_s, max((due - self._clock.now()).total_seconds(), 0.01))
        waits = [asyncio.ensure_future(event.wait()) for event in (woken, self._freed)]
        try:
            await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _carry_out(
        self, errand: Errand, work: Coroutine[Any, Any, Later | Proven | None]
    ) -> Proven | None:
        """Do a part of an errand in its time; what is not to go on is given back, and held no more."""
        outcome: Later | Proven | None = None
        try:
            async with asyncio.timeout(self._settings.attempt_within.total_seconds()):
                outcome = await work
                if isinstance(outcome, Later):
                    await self._give_back(errand, outcome)
        except (SojournError, TimeoutError) as error:
            await self._recover(errand, error)
        finally:
            if not isinstance(outcome, Proven):
                self._held.discard(errand.id)
        return outcome if isinstance(outcome, Proven) else None

    async def _record(self, errand: Errand, proven: Proven, group: asyncio.TaskGroup) -> None:
        """Soon, together with others, if this target has more to do; else at once."""
        waiting = self._proven.setdefault(errand.target, [])
        waiting.append((errand, proven))
        if not self._queues[errand.target]:
            await self._record_all(errand.target)
        elif len(waiting) == 1:
            group.create_task(self._record_soon(errand.target))

    async def _record_soon(self, target: TargetId) -> None:
        await self._clock.sleep(_TOGETHER_S)
        await self._record_all(target)

    async def _record_all(self, target: TargetId) -> None:
        """All that was proven of `target` and is not on record; the store makes one write of it."""
        proofs = self._proven.pop(target, [])
        await asyncio.gather(
            *(self._carry_out(errand, self._reaping.conclude(errand, proven)) for errand, proven in proofs)
        )

    async def _recover(self, errand: Errand, error: SojournError | TimeoutError) -> None:
        why = str(error) or "timeout"
        try:
            await self._give_back(errand, Later(why))
        except (Unavailable, Conflict):
            return  # the hold runs out and somebody claims it again

    async def _give_back(self, errand: Errand, later: Later) -> None:
        now = self._clock.now()
        if later.residual or now - made_at(ERRAND, errand.id) >= self._settings.stuck_after:
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
