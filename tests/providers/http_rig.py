"""What the suite needs of a simulated API: a workload that calls it, and a look behind it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sojourn.ports.provider import Intent, Issued

_numbers = itertools.count(1)
FENCE = timedelta(seconds=3)


class ShiftedClock:
    """The clock of this machine, ahead by as much as the test says."""

    ahead_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)


def fresh_handle() -> str:
    return f"sj_test_{next(_numbers):026d}"


def fresh_intent(clock: ShiftedClock, template: dict[str, object], *, life: timedelta) -> Intent:
    now = clock.now()
    return Intent(fresh_handle(), template, now + FENCE, now + life)


@asynccontextmanager
async def at_work(
    use: Callable[[Issued], Awaitable[object]], issued: Issued, *, tasks: int, every: float
) -> AsyncIterator[None]:
    """Call `use` every `every` seconds from each of `tasks` tasks."""

    async def work() -> None:
        while True:
            await use(issued)
            await asyncio.sleep(every)

    running = [asyncio.create_task(work()) for _ in range(tasks)]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
