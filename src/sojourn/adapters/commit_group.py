"""Gather the Changes of many callers into one transaction: one fsync for many.

While one batch is being written the next one gathers. Changes that end something go first
and have places of their own in the queue, so that a flood of opens never holds up an end. A
batch that the database refuses is tried again one Change at a time, so that only the guilty
one fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sojourn.adapters.sql_database import WRITE_DEADLINE, Broken, Rejected
from sojourn.adapters.sql_writes import Later, Outcome
from sojourn.core.change import Change
from sojourn.core.errors import Conflict, SojournError, Unavailable
from sojourn.ports.store import Head

# A batch this large spreads the cost of its commit thinly enough; a larger one only adds delay.
MOST_IN_BATCH: Final = 256
# About a second of work for the disk: beyond that a caller is better told at once.
MOST_WAITING: Final = 4096
# A request is read in one turn of the loop and asks in the next.
_QUIET_TURNS: Final = 2
# Only a core with no turn to spare gets that far: the requests in hand take as long anyway.
_PATIENCE_S: Final = 0.025

Write = Callable[[Sequence[Change]], Awaitable[list[Outcome]]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    change: Change
    answer: asyncio.Future[Head]

    def resolve(self, outcome: Head | SojournError) -> None:
        # A caller who was cancelled has gone; the change stands all the same.
        if self.answer.done():
            return
        if isinstance(outcome, Head):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class CommitGroup:
    """One queue and one task in front of a writer that lands batches."""

    def __init__(self, write: Write, *, most_waiting: int = MOST_WAITING) -> None:
        self._write = write
        self._most_waiting = most_waiting
        self._ending: deque[_Waiting] = deque()
        self._other: deque[_Waiting] = deque()
        self._news = asyncio.Event()
        self._dead: SojournError | None = None
        self._task = asyncio.create_task(self._run(), name="commit group")

    async def submit(self, change: Change) -> Head:
        """Have `change` written with others; the head right after it.

        Raises:
            Conflict, Refused, Invalid: as judged.
            Unavailable: code `overloaded` (nothing was taken), `fenced` or `store_unavailable`.
        """
        if self._dead:
            raise self._dead
        lane = self._ending if change.ending else self._other
        if len(lane) >= self._most_waiting:
            raise Unavailable("overloaded", f"{len(lane)} changes wait to be written; try again in a second")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(change, loop.create_future())
        lane.append(waiting)
        self._news.set()
        deadline = loop.call_later(WRITE_DEADLINE.total_seconds(), _expire, waiting)
        try:
            return await waiting.answer
        finally:
            deadline.cancel()

    async def close(self) -> None:
        """Stop; what still waits is answered with `Unavailable`."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._die(Unavailable("store_unavailable", "the store is closed"))

    async def _run(self) -> None:
        while not self._dead:
            await self._news.wait()
            await self._let_come()
            batch = self._gather()
            if not batch:
                self._news.clear()
                continue
            try:
                await self._land(batch)
            except BaseException:
                # Cancelled at close, or a fault of ours: nobody may be left waiting.
                self._die(Unavailable("store_unavailable", "the store has stopped; read again"))
                _answer(
                    batch,
                    Unavailable("store_unavailable", "the change may not have been written; read again"),
                )
                raise

    async def _let_come(self) -> None:
        """Take along who is about to ask: turns of the loop until two in a row bring nobody.

        A busy core lands few large batches so, and not many small ones; an idle one loses nothing.
        An end waits for nobody.
        """
        clock = asyncio.get_running_loop().time
        give_up, quiet = clock() + _PATIENCE_S, 0
        while quiet < _QUIET_TURNS and not self._ending and clock() < give_up:
            waiting = len(self._other)
            if waiting >= MOST_IN_BATCH:
                return
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._other) == waiting else 0

    def _gather(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        for lane in (self._ending, self._other):
            while lane and len(batch) < MOST_IN_BATCH:
                waiting = lane.popleft()
                if not waiting.answer.done():
                    batch.append(waiting)
        return batch

    async def _land(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._write([waiting.change for waiting in batch])
        except Rejected as rejection:
            await self._land_singly(batch, rejection)
        except Broken as error:
            self._die(Unavailable("store_unavailable", f"the disk failed, nothing more is written: {error}"))
            _answer(batch, Unavailable("store_unavailable", "the disk failed while this was being written"))
        except SojournError as error:
            _answer(batch, error)
        else:
            self._settle(batch, outcomes)

    async def _land_singly(self, batch: list[_Waiting], rejection: Rejected) -> None:
        if len(batch) == 1:
            return batch[0].resolve(_refusal(rejection))
        for waiting in batch:
            if self._dead:
                waiting.resolve(self._dead)
            else:
                await self._land([waiting])
        return None

    def _settle(self, batch: list[_Waiting], outcomes: list[Outcome]) -> None:
        postponed = []
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Later):
                postponed.append(waiting)
            else:
                waiting.resolve(outcome)
        # In front of what came later, in their own order.
        for waiting in reversed(postponed):
            (self._ending if waiting.change.ending else self._other).appendleft(waiting)

    def _die(self, reason: SojournError) -> None:
        self._dead = self._dead or reason
        waiting = [*self._ending, *self._other]
        self._ending.clear()
        self._other.clear()
        _answer(waiting, self._dead)


def _expire(waiting: _Waiting) -> None:
    waiting.resolve(Unavailable("store_unavailable", "the change was not written in time; read again"))


def _answer(batch: Sequence[_Waiting], error: SojournError) -> None:
    for waiting in batch:
        waiting.resolve(error)


def _refusal(rejection: Rejected) -> SojournError:
    if rejection.unique:
        return Conflict("stale", "another change took the same id or name first")
    return Conflict("constraint", f"the database refused the change: {rejection.reason}")
