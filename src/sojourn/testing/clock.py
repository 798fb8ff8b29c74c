"""Virtual time for asyncio, a clock moved by hand, and repeatable randomness.

`SimLoop` never waits: when nothing is ready it jumps to the next timer. Callbacks that are
ready together run in an order drawn from the seed, so one seed is one interleaving.
"""

from __future__ import annotations

import asyncio
import base64
import random
import selectors
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

T = TypeVar("T")

START: Final = datetime(2030, 1, 1, tzinfo=UTC)


class _Instant(selectors.SelectSelector):
    """A selector that looks and never waits: virtual time has nothing to wait for."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class _NumberedTask(asyncio.Task[Any]):
    """A task with a hash of its own: sets of tasks then have the same order in every run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which shuffles what is ready."""

    def __init__(self, seed: int) -> None:
        self._virtual_s = 0.0
        self._order = random.Random(seed)
        self._tasks_made = 0
        super().__init__(_Instant())
        self.set_task_factory(self._numbered)

    def _numbered(self, loop: asyncio.AbstractEventLoop, coro: Any, **named: Any) -> _NumberedTask:
        task = _NumberedTask.__new__(_NumberedTask)
        self._tasks_made += 1
        task.number = self._tasks_made
        task.__init__(coro, loop=loop, **named)  # type: ignore[misc]
        return task

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_s

    def _run_once(self) -> None:
        # Reaches into CPython's loop: the only place where the order of callbacks is decided.
        inner: Any = self
        if not inner._ready and inner._scheduled:
            self._virtual_s = max(self._virtual_s, inner._scheduled[0]._when)
        if len(inner._ready) > 1:
            shuffled = list(inner._ready)
            self._order.shuffle(shuffled)
            inner._ready.clear()
            inner._ready.extend(shuffled)
        inner_run: Any = super()
        inner_run._run_once()


def simulate(seed: int, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end in virtual time, on a loop of its own."""
    loop = SimLoop(seed)
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(work)
    finally:
        _drain(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _drain(loop: SimLoop) -> None:
    """Cancel what a failed simulation left running, so that the next one starts clean."""
    loop.set_exception_handler(lambda _loop, _context: None)
    left = sorted(asyncio.all_tasks(loop), key=hash)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


class LoopClock:
    """A clock that reads the running loop's time, virtual or not."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start

    def now(self) -> datetime:
        """`start` and what the loop has run since."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The loop's own seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait in the loop's time."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves when a test says so; sleeping moves it."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._start = start

    def now(self) -> datetime:
        """What it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since its start."""
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Move on by `seconds`, and let others run."""
        self.advance(timedelta(seconds=seconds))
        await asyncio.sleep(0)

    def advance(self, by: timedelta) -> None:
        """Let `by` pass at once."""
        self._now += by


class SeededEntropy:
    """Identifiers and secrets that are the same for the same seed."""

    def __init__(self, seed: int, clock: ManualClock | LoopClock) -> None:
        self._random = random.Random(seed)
        self._clock = clock

    def uuid7(self) -> UUID:
        """A UUIDv7 at the clock's time (RFC 9562, section 5.7)."""
        millis = int(self._clock.now().timestamp() * 1000)
        value = (millis << 80) | (0x7 << 76) | (self._random.getrandbits(12) << 64)
        return UUID(int=value | (0b10 << 62) | self._random.getrandbits(62))

    def token(self, nbytes: int) -> str:
        """Base64url of `nbytes` drawn from the seed."""
        return base64.urlsafe_b64encode(self._random.randbytes(nbytes)).decode().rstrip("=")


class PlainSigner:
    """A token signer for tests: readable tokens that nobody could take for signed ones."""

    kid: Final = "test-key"

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """The claims, in plain sight."""
        return f"unsigned:{dict(header)}:{dict(claims)}"

    def public_keys(self) -> tuple[Mapping[str, str], ...]:
        """None: nothing was signed."""
        return ()
