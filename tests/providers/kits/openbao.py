"""OpenBao: workloads that write a secret, and a root who sees what is left of their tokens."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime

from sojourn.ports.provider import Intent, Issued
from tests.providers.kits.kit import Kit
from tests.providers.openbao.rig import rig_at
from tests.rig.openbao import Place


class BaoKit(Kit):
    """What the rig of its own suites does, as a kit."""

    name = "openbao"

    def __init__(self, place: Place) -> None:
        self._rig = rig_at(place)
        self.made = self._rig.provider

    def intent(self, *, handle: str | None = None) -> Intent:
        assert handle is None
        return self._rig.intent()

    async def can_log_in(self, issued: Issued) -> bool:
        return await self._rig.can_log_in(issued)

    def at_work(self, issued: Issued, *, tasks: int, every: float) -> AbstractAsyncContextManager[None]:
        return self._rig.at_work(issued, tasks=tasks, every=every)

    async def writes(self, handle: str) -> int:
        return await self._rig.writes(handle)

    async def last_write(self, handle: str) -> datetime | None:
        return await self._rig.last_write(handle)

    async def target_now(self) -> datetime:
        return await self._rig.target_now()

    async def survivors(self, target_id: str) -> int:
        return await self._rig.survivors(target_id)

    async def close(self) -> None:
        await self._rig.close()
