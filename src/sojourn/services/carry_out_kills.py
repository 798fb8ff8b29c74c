"""Carry out kill orders: end what each covers, batch by batch, until nothing is left.

What was ended does not come again, so a process that dies in the middle leaves nothing but
work for the next one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sojourn.core.change import Change
from sojourn.core.errors import Conflict
from sojourn.core.kill import Kill, KillState, finish, number
from sojourn.ports.clock import Clock
from sojourn.ports.store import KillFilter, Store
from sojourn.services._picking import picked
from sojourn.services.end_session import EndSession

BATCH: Final = 250
"""Sessions in one commit: large enough to share its cost, small enough to let others in between."""

UNNUMBERED_AFTER: Final = timedelta(seconds=2)
"""Who ordered has gone without learning the number: the present one, which is later, serves."""


class CarryOutKills:
    """Works through the orders that are not finished."""

    def __init__(self, store: Store, clock: Clock, end: EndSession) -> None:
        self._store = store
        self._clock = clock
        self._end = end

    async def run_once(self) -> int:
        """How many sessions were ended."""
        total = 0
        for kill in await self._store.kills(KillFilter(unfinished=True)):
            numbered = kill if kill.n is not None else await self._adopt(kill)
            if numbered is not None:
                total += await self._carry_out(numbered)
        return total

    async def _adopt(self, kill: Kill) -> Kill | None:
        now = self._clock.now()
        if now - kill.ordered_at < UNNUMBERED_AFTER:
            return None
        step = number(kill, (await self._store.head()).feed_n, now)
        try:
            await self._store.commit(Change(steps=(step,), ending=True))
        except Conflict:
            return None  # numbered meanwhile: the next look finds it so
        return step.row

    async def _carry_out(self, kill: Kill) -> int:
        total = 0
        while ended := await self._one_pass(kill):
            total += ended
        current = await self._store.kill(kill.id)
        if current is None or current.state is KillState.FINISHED:
            return total
        step = finish(current, total, self._clock.now())
        try:
            await self._store.commit(Change(steps=(step,)))
        except Conflict:
            return total  # another node finished it
        return total

    async def _one_pass(self, kill: Kill) -> int:
        """End whatever is covered now; zero means that nothing is."""
        ended = 0
        async for page in picked(self._store, kill.selector):
            covered = [session for session in page if kill.covers(session)]
            for first in range(0, len(covered), BATCH):
                await self._end.many(covered[first : first + BATCH], kill.cause)
            ended += len(covered)
        return ended
