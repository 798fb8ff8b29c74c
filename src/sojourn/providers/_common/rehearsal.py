"""What rehearsals have in common where the admin's connections are pooled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Generic, TypeVar

from sojourn.core.errors import TargetError
from sojourn.ports.clock import WallClock
from sojourn.providers._common.call import Failures, one_call
from sojourn.providers._common.pool import Pool, Pooled
from sojourn.providers._common.preflight import STEP_SECONDS

C = TypeVar("C", bound=Pooled)


class PooledRehearsal(Generic[C]):
    """The part of `_common.preflight.Rehearsal` that does not depend on the target."""

    def __init__(self, pool: Pool[C], clock: WallClock, failures: Failures) -> None:
        self._pool = pool
        self._clock = clock
        self._failures = failures

    def now(self) -> datetime:
        """Our clock."""
        return self._clock.now()

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[C]:
        """A connection of the admin for one check, bounded in time; failures become `TargetError`."""
        async with one_call(name, STEP_SECONDS, self._failures), self._pool.lend() as connection:
            yield connection

    @contextmanager
    def as_canary(self) -> Iterator[None]:
        """What goes wrong in a canary's login had no effect, and says that it was the canary's."""
        try:
            yield
        except self._failures.kinds as error:
            code = self._failures.code_of(error)
            raise TargetError(code, f"canary: {error}", sent=False) from error

    def at_work(self, connection: C, work: Callable[[], Awaitable[object]]) -> Working:
        """A canary on `connection`, which `work` keeps busy until it is cut."""
        return Working(connection, work, self._failures)


class Working:
    """A canary's connection, and work on it that lasts longer than anybody waits."""

    def __init__(self, connection: Pooled, work: Callable[[], Awaitable[object]], failures: Failures) -> None:
        self._connection = connection
        self._work = work
        self._failures = failures

    async def until_cut(self) -> None:
        """Return when the work, and with it the connection, was ended."""
        with suppress(*self._failures.kinds):
            await self._work()

    def hang_up(self) -> None:
        """Drop the connection."""
        self._connection.drop()
