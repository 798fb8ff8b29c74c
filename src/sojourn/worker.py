"""The loops that keep promises: reap, sweep, kill, announce, rule, seal, tell, preflight, forget, tend keys.

Each loop waits for a wake-up or for its period, whichever comes first, and outlives every
error: an error is logged and counted, and the loop goes on. That the store is away is told
apart from a defect. This is the only place that
catches everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from sojourn.adapters.waking_store import Wake
from sojourn.core.errors import Unavailable
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services.announce_revocations import AnnounceRevocations
from sojourn.services.carry_out_kills import CarryOutKills
from sojourn.services.reap_leases import ReapLeases
from sojourn.services.sweep_deadlines import SweepDeadlines
from sojourn.services.tell_hooks import TellHooks
from sojourn.services.watch_triggers import WatchTriggers

log = logging.getLogger(__name__)

ANNOUNCE_EVERY_S: Final = 0.1
"""What another node committed is announced this late at most; our own commits wake us."""

KILLS_EVERY_S: Final = 0.5
"""How late an order of another node is taken up, should that node have died."""

SEAL_EVERY_S: Final = 1.0
SEAL_PAUSE_S: Final = 0.1
"""Facts of so long share one checkpoint: signing each by itself would gain nothing."""

RULES_EVERY_S: Final = 1.0
"""Living sessions hear of changed charters and policies this late at most."""

FORGET_EVERY_S: Final = 60.0
PREFLIGHT_LOOK_EVERY_S: Final = 30.0
TEND_EVERY_S: Final = 0.5
"""A key that another node has revoked is refused here this late at most: within D."""

_AFTER_ERROR_S: Final = 0.5

Once = Callable[[], Awaitable[int]]


class Runs(Protocol):
    """Work that is done again and again: sealing facts, holding sessions to changed rules."""

    async def run_once(self) -> int:
        """How much there was to do."""
        ...


class Preflights(Protocol):
    """What tries targets out again."""

    async def run_once(self) -> int:
        """How many targets were tried out."""
        ...


class Worker:
    """Runs the loops until it is cancelled. It owns nothing: a second one does no harm."""

    def __init__(
        self,
        reap: ReapLeases,
        sweep: SweepDeadlines,
        announce: AnnounceRevocations,
        seal: Runs | None,
        *,
        tend: Runs | None = None,
        clock: Clock,
        store: Store,
        wake: Wake,
        sweep_every_s: float,
        preflight: Preflights | None = None,
        kills: CarryOutKills | None = None,
        watch: WatchTriggers | None = None,
        rules: Runs | None = None,
        hooks: TellHooks | None = None,
    ) -> None:
        self._reap = reap
        self._sweep = sweep
        self._announce = announce
        self._seal = seal
        self._preflight = preflight
        self._tend = tend
        self._clock = clock
        self._store = store
        self._wake = wake
        self._sweep_every_s = sweep_every_s
        self._kills = kills
        self._watch = watch
        self._rules = rules
        self._hooks = hooks
        self.errors: Counter[str] = Counter()  # by loop: defects
        self.away: Counter[str] = Counter()  # by loop: the store could not answer

    async def run(self) -> None:
        """Run every loop; returns only by cancellation."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever("reap", lambda: self._reap.run(self._wake.errands)))
            group.create_task(self._for_ever("sweep", self._sweeping))
            group.create_task(self._for_ever("announce", self._announcing))
            group.create_task(self._for_ever("forget", self._forgetting))
            if self._kills is not None:
                group.create_task(self._for_ever("kills", self._killing))
            if self._watch is not None:
                group.create_task(self._for_ever("watch", self._watch.run))
            if self._hooks is not None:
                group.create_task(self._for_ever("hooks", self._hooks.run))
            if self._rules is not None:
                group.create_task(self._for_ever("rules", self._holding_to_rules))
            if self._seal is not None:
                group.create_task(self._for_ever("seal", self._sealing))
            if self._preflight is not None:
                group.create_task(self._for_ever("preflight", self._preflighting))
            if self._tend is not None:
                group.create_task(self._for_ever("keys", self._tending))

    async def _for_ever(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await loop()
            except Exception as error:  # the one place: a loop that died would break every promise silently
                if _is_away(error):
                    self.away[name] += 1
                    log.warning("the %s loop waits for the database", name)
                else:
                    self.errors[name] += 1
                    log.exception("the %s loop failed and goes on", name)
                if _is_being_stopped():
                    raise asyncio.CancelledError from error
                await self._clock.sleep(_AFTER_ERROR_S)

    async def _sweeping(self) -> None:
        while True:
            await self._sweep.run_once()
            await self._clock.sleep(self._sweep_every_s)

    async def _killing(self) -> None:
        assert self._kills is not None
        while True:
            self._wake.kills.clear()
            await self._kills.run_once()
            await _wait(self._wake.kills, KILLS_EVERY_S)

    async def _announcing(self) -> None:
        while True:
            self._wake.feed.clear()
            await self._announce.run_once()
            await _wait(self._wake.feed, ANNOUNCE_EVERY_S)

    async def _forgetting(self) -> None:
        while True:
            await self._clock.sleep(FORGET_EVERY_S)
            await self._store.forget_expired(self._clock.now())

    async def _preflighting(self) -> None:
        assert self._preflight is not None
        while True:
            await self._clock.sleep(PREFLIGHT_LOOK_EVERY_S)
            await self._preflight.run_once()

    async def _holding_to_rules(self) -> None:
        assert self._rules is not None
        while True:
            await self._rules.run_once()
            await self._clock.sleep(RULES_EVERY_S)

    async def _sealing(self) -> None:
        assert self._seal is not None
        while True:
            self._wake.journal.clear()
            await self._seal.run_once()
            await _wait(self._wake.journal, SEAL_EVERY_S)
            await self._clock.sleep(SEAL_PAUSE_S)

    async def _tending(self) -> None:
        assert self._tend is not None
        while True:
            await self._tend.run_once()
            await self._clock.sleep(TEND_EVERY_S)


def _is_being_stopped() -> bool:
    """Whether we were cancelled while an error was on its way: a task group then raises only the error."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_away(error: BaseException) -> bool:
    """Whether all that is wrong is that the store cannot answer now."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_away(one) for one in error.exceptions)
    return isinstance(error, Unavailable)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
