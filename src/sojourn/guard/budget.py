"""A guard's part of budgets: chunks reserved ahead, used up one by one, reported and given back.

No request is let in without a part in hand: with nothing in hand and no answer from the control
plane nobody passes. Sessions without a budget are only counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from sojourn.core.errors import Refused, SojournError, Unavailable
from sojourn.guard.clock import GuardClock
from sojourn.guard.verifier import Access

CHUNK_CALLS: Final = 25  # of one session at one guard; a round trip for so many requests
REPORT_EVERY_S: Final = 5.0
USE_WITHIN_S: Final = 20.0  # of the 30 s after which a chunk counts as spent
SPENT_FOR_S: Final = 1.0  # a session that was refused is not asked about at every request
MOST_SESSIONS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """What the control plane gave; without `chunk` nothing is limited."""

    chunk: str | None
    calls: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was used of a part."""

    session: str
    chunk: str | None
    calls: int
    actions: dict[str, int]
    failed: int = 0


class Accounts(Protocol):
    """The control plane, as far as use is concerned."""

    async def ask_part(self, session: str, calls: int) -> Part:
        """A part of the session's budget.

        Raises:
            Refused: code `budget_spent` or `session_ended`.
            Unavailable: no answer in time.
        """
        ...

    async def report_use(self, reports: Iterable[Report]) -> None:
        """Tell what was used."""
        ...


@dataclass(slots=True)
class _Held:
    part: Part
    since: float
    used: int = 0
    actions: Counter[str] = field(default_factory=Counter)

    def has_one(self, mono: float) -> bool:
        """Whether one more call may be made of it."""
        if self.part.chunk is None:
            return True
        return self.used < self.part.calls and mono - self.since < USE_WITHIN_S


class BudgetBook:
    """Parts in hand, by session; for one event loop."""

    def __init__(self, accounts: Accounts, clock: GuardClock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._owed: list[Report] = []
        self._failed: Counter[str] = Counter()  # calls that came to nothing, told with the next report
        self._spent: dict[str, float] = {}  # until when the answer is known without asking

    async def take(self, access: Access, actions: Iterable[str]) -> None:
        """Use one call of the session's budget for a request that needs `actions`.

        Raises:
            Refused: code `budget_spent` or `session_ended`.
            Unavailable: code `no_answer`; nothing is in hand, and nobody can say whether more is left.
        """
        async with self._turns.setdefault(access.session, asyncio.Lock()):
            held = self._held.get(access.session)
            if held is None or not held.has_one(self._clock.mono()):
                held = await self._more(access.session, held)
            held.used += 1
            held.actions.update(actions)

    def failed(self, access: Access) -> None:
        """Note that the guarded API answered a call with an error."""
        if access.session in self._failed or len(self._failed) < MOST_SESSIONS:
            self._failed[access.session] += 1

    async def _more(self, session: str, spent: _Held | None) -> _Held:
        if self._clock.mono() < self._spent.get(session, 0.0):
            raise _is_spent()
        if spent is not None:
            self._close(session, spent)
            await self._tell()  # what comes back may be what is wanted
        elif len(self._held) >= MOST_SESSIONS:
            raise Unavailable("overloaded", "more sessions draw on budgets here than can be remembered")
        try:
            part = await self._accounts.ask_part(session, CHUNK_CALLS)
        except Refused:
            self._spent[session] = self._clock.mono() + SPENT_FOR_S
            raise
        if part.chunk is not None and part.calls < 1:
            self._spent[session] = self._clock.mono() + SPENT_FOR_S
            raise _is_spent()
        fresh = _Held(part, self._clock.mono())
        self._held[session] = fresh
        return fresh

    async def run(self) -> None:
        """Report every few seconds, and give back what is not used, until cancelled."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Report everything in hand; each session reserves anew when it comes again."""
        self._spent = {}
        for session in list(self._held):
            turn = self._turns[session]
            if not turn.locked():
                self._close(session, self._held[session])
                self._turns.pop(session, None)
        try:
            await self._tell()
        except SojournError:
            return  # told again with the next; a chunk that comes too late stays spent

    def _close(self, session: str, held: _Held) -> None:
        self._held.pop(session, None)
        if held.used or held.part.chunk is not None:
            failed = self._failed.pop(session, 0)
            self._owed.append(Report(session, held.part.chunk, held.used, dict(held.actions), failed))

    async def _tell(self) -> None:
        while self._owed:
            batch = self._owed[:256]
            await self._accounts.report_use(batch)
            del self._owed[: len(batch)]


def _is_spent() -> Refused:
    return Refused("budget_spent", "the budget of the session is spent")
