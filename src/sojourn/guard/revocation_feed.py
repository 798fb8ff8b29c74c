"""Follow the feed, forever: ask, apply, tell the listeners; silence becomes deafness.

The lease of an answer runs from the moment its question was SENT. An answer says what the
server knew when it was written, and that may be as old as the question.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from sojourn.core.errors import SojournError
from sojourn.core.revocation import Kind
from sojourn.guard.clock import GuardClock
from sojourn.guard.control_plane import ControlPlane
from sojourn.guard.verifier import Verifier

SHORTEST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5  # service is to be back within 2 s of healing
KEYS_AT_MOST_EVERY_S: Final = 10.0  # anybody can send an unknown kid
SHORTEST_ROUND_S: Final = 0.02  # a server that answers everything at once is asked 50 times a second
LOOK_EVERY_S: Final = 0.25  # a sleep does not notice a suspension, so never sleep long

log: Final = logging.getLogger("sojourn.guard")


class RevocationFeed:
    """Keeps a verifier's view and keys fresh; runs until cancelled."""

    def __init__(self, plane: ControlPlane, verifier: Verifier, clock: GuardClock) -> None:
        self._plane = plane
        self._verifier = verifier
        self._clock = clock
        self._listeners: set[Callable[[], None]] = set()
        self._keys_asked = float("-inf")
        self._keys_known = False
        self._in_step = False  # whether the last question was answered
        self._first = asyncio.Event()
        self.last_error: str | None = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each hearing and when going deaf; it must not wait."""
        self._listeners.add(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        self._listeners.discard(listener)

    async def first_hearing(self, timeout_s: float) -> bool:
        """Wait until something was heard once, at most `timeout_s`."""
        try:
            await asyncio.wait_for(self._first.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Hear until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear())
                group.create_task(self._watch())
        finally:
            await self._plane.close()

    async def learn_keys(self) -> bool:
        """Fetch the issuer's keys, unless that was done a moment ago; whether they were fetched."""
        mono = self._clock.mono()
        if mono - self._keys_asked < KEYS_AT_MOST_EVERY_S:
            return False
        self._keys_asked = mono
        try:
            await self._fetch_keys()
        except SojournError as error:
            self._note(error)
            return False
        return True

    async def _hear(self) -> None:
        failures = 0
        while True:
            began = self._clock.mono()
            try:
                await self._hear_once()
                failures = 0
            except SojournError as error:
                self._note(error)
                failures += 1
                await asyncio.sleep(_pause(failures, self._clock.mono() - began))
            self._tell()
            spent = self._clock.mono() - began
            if spent < SHORTEST_ROUND_S:
                await asyncio.sleep(SHORTEST_ROUND_S - spent)

    async def _hear_once(self) -> None:
        if not self._keys_known:
            await self._fetch_keys()
        # After a failure ask without a mark: that is answered at once, not after 1 s of waiting.
        # The view keeps its own high-water mark, so a rollback is still noticed.
        mark = self._verifier.view.mark if self._in_step else None
        self._in_step = False
        sent_at = self._clock.mono()
        page = await self._plane.ask_feed(mark)
        self._verifier.view.apply(page, sent_at=sent_at, received_at=self._clock.mono())
        self._in_step = True
        self.last_error = None
        self._first.set()
        if any(entry.kind is Kind.SIGNER for entry in page.entries):
            await self._keys_changed()

    async def _keys_changed(self) -> None:
        """A key was revoked, so another signs now; failing to learn it must not stop the hearing."""
        try:
            await self._fetch_keys()
        except SojournError as error:
            self._note(error)

    async def _fetch_keys(self) -> None:
        self._verifier.trust(await self._plane.fetch_keys())
        self._keys_known = True

    async def _watch(self) -> None:
        """Tell the listeners at the very moment of going deaf."""
        was_deaf = True
        while True:
            mono, rules = self._clock.mono(), self._verifier.rules
            is_deaf = self._verifier.view.deaf(mono, rules.deaf_after)
            if is_deaf and not was_deaf:
                log.warning("the guard is deaf: nobody is let in", extra={"code": "deaf"})
                self._tell()
            was_deaf = is_deaf
            left = self._verifier.view.lease_end(rules.deaf_after) - mono
            await asyncio.sleep(min(LOOK_EVERY_S, left) if left > 0 else LOOK_EVERY_S)

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _note(self, error: SojournError) -> None:
        if self.last_error != error.code:
            log.warning("the feed is not heard: %s", error)
        self.last_error = error.code


def _pause(failures: int, spent_s: float) -> float:
    """How long to wait before asking again; time lost in the attempt counts as waited."""
    ceiling = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2 ** min(failures, 6))
    return max(random.uniform(SHORTEST_PAUSE_S, ceiling) - spent_s, 0.0)  # noqa: S311 - spreads load only
