"""Keep a watch going for every trigger that follows another system by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from sojourn.core.errors import SojournError
from sojourn.core.ids import TriggerId
from sojourn.core.trigger import Trigger
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.ports.trigger import WatchTrigger
from sojourn.services.route_signals import RouteSignals

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
"""How late a trigger that was added or removed is noticed."""

BEGIN_AGAIN_S: Final = 2.0


class WatchTriggers:
    """One task for each configured trigger of a kind that watches."""

    def __init__(
        self, store: Store, clock: Clock, route: RouteSignals, kinds: Mapping[str, WatchTrigger]
    ) -> None:
        self._store = store
        self._clock = clock
        self._route = route
        self._kinds = kinds

    async def run(self) -> None:
        """Watch until cancelled."""
        watching: dict[TriggerId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                wanted = {one.id: one for one in await self._store.triggers() if one.kind in self._kinds}
                for gone in watching.keys() - wanted.keys():
                    watching.pop(gone).cancel()
                for one in wanted.values():
                    if one.id not in watching:
                        watching[one.id] = group.create_task(self._for_ever(one))
                await self._clock.sleep(LOOK_EVERY_S)

    async def _for_ever(self, trigger: Trigger) -> None:
        while True:
            try:
                secret = await self._route.secret_of(trigger)
                async for signals in self._kinds[trigger.kind].watch(trigger.settings, secret):
                    await self._route.route(trigger, signals)
            except SojournError as error:
                log.warning("trigger `%s`: %s", trigger.name, error)
            await self._clock.sleep(BEGIN_AGAIN_S)
