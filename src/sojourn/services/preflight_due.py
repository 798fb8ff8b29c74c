"""Try targets out again on a schedule, so that none goes bad unseen.

One that fails opens no sessions from then on; one that passes again does. One that cannot be
asked keeps its state: that is its network's trouble, and opening fails by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from sojourn.config import Settings
from sojourn.core.change import Change, Once
from sojourn.core.errors import Refused, TargetError
from sojourn.core.target import Target, TargetState
from sojourn.core.window import EPOCH
from sojourn.ports.clock import Clock
from sojourn.ports.provider import Check
from sojourn.ports.store import Store

Preflight = Callable[[str], Awaitable[tuple[Target, Sequence[Check]]]]

log = logging.getLogger(__name__)
_TURN = "preflight"


class PreflightDue:
    """Runs the preflights that are due, one after another, at one node only."""

    def __init__(self, store: Store, clock: Clock, preflight: Preflight, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._preflight = preflight
        self._settings = settings

    async def run_once(self) -> int:
        """How many targets were tried out."""
        due = [one for one in await self._store.targets() if self._is_due(one, self._clock.now())]
        return sum([await self._try_out(target) for target in due])

    def _is_due(self, target: Target, now: datetime) -> bool:
        if target.preflight_at is None:  # nobody has tried it out yet: that is an operator's to begin
            return False
        match target.state:
            case TargetState.READY:
                return now >= target.preflight_at + self._settings.preflight_every
            case TargetState.UNFIT:
                return now >= target.preflight_at + self._settings.preflight_unfit_every
            case _:
                return False

    async def _try_out(self, target: Target) -> bool:
        if not await self._is_our_turn(target):
            return False
        try:
            tried, _ = await self._preflight(target.name)
        except TargetError as error:
            log.warning("the preflight of target `%s` could not be made: %s", target.name, error.code)
            return False
        if tried.state is not target.state:
            log.warning("target `%s` is `%s` now, it was `%s`", target.name, tried.state, target.state)
        return True

    async def _is_our_turn(self, target: Target) -> bool:
        """Whether no other node has taken the turn of this stretch of time."""
        now, stretch = self._clock.now(), self._settings.preflight_unfit_every
        turn = Once(_TURN, f"{target.id}:{target.version}:{(now - EPOCH) // stretch}", now + stretch)
        try:
            await self._store.commit(Change(once=(turn,)))
        except Refused:
            return False
        return True
