"""Reads that wait for a thread run in it together, on one snapshot: one hop for many.

Nothing is held back to make a group larger: the first read asks for a thread, and whoever comes
before that thread has begun goes along. Each still sees all that was committed before it asked.
A group that fails is read again one by one, so that only the guilty one fails.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], Any]

MOST_IN_GROUP: Final = 64  # a larger one only keeps its first from being answered


@dataclass(frozen=True, slots=True)
class _Asked:
    work: Work
    answer: asyncio.Future[Any]


class ReadGroup:
    """Hands reads to threads; `once` runs one piece of work in one transaction."""

    def __init__(self, threads: Executor, once: Callable[[Work], Any]) -> None:
        self._threads = threads
        self._once = once
        self._turn = threading.Lock()
        self._asked: list[_Asked] = []

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` answers.

        Raises:
            RuntimeError: the threads are gone.
        """
        asked = _Asked(work, asyncio.get_running_loop().create_future())
        with self._turn:
            self._asked.append(asked)
            first = len(self._asked) == 1
        if first:
            self._send_first()
        return cast("T", await asked.answer)

    def _send_first(self) -> None:
        try:
            self._send(self._take)
        except RuntimeError:  # the threads are gone: whoever comes next is to hear it, too
            with self._turn:
                self._asked = []
            raise

    def _take(self) -> Sequence[_Asked]:
        with self._turn:
            taken, self._asked = self._asked[:MOST_IN_GROUP], self._asked[MOST_IN_GROUP:]
            left = bool(self._asked)
        if left:
            self._send(self._take)
        return taken

    def _send(self, take: Callable[[], Sequence[_Asked]]) -> None:
        group: list[_Asked] = []

        def run() -> list[Any]:
            group.extend(take())
            answers: list[Any] = self._once(lambda connection: [one.work(connection) for one in group])
            return answers

        self._threads.submit(run).add_done_callback(partial(self._ran, group))

    def _ran(self, group: Sequence[_Asked], done: Future[list[Any]]) -> None:
        """Back to the loop, from a thread of ours."""
        loop = group[0].answer.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._settle, group, done)

    def _settle(self, group: Sequence[_Asked], done: Future[list[Any]]) -> None:
        error = done.exception()
        if error is not None and len(group) > 1:
            for one in group:
                self._send(partial(_alone, one))
            return
        answers = [None] if error is not None else done.result()
        for one, answer in zip(group, answers, strict=True):
            if one.answer.done():  # whoever asked has gone
                continue
            if error is None:
                one.answer.set_result(answer)
            else:
                one.answer.set_exception(error)


def _alone(asked: _Asked) -> Sequence[_Asked]:
    return (asked,)
