"""OpenBao: workloads that write a secret, and a root who sees what is left of their tokens."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime

import httpx2

from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued
from sojourn.providers.openbao import OpenBao
from tests.providers.http_rig import ShiftedClock
from tests.providers.kits.kit import Kit
from tests.providers.openbao.rig import APP, BaoRig
from tests.rig.openbao import Place


class BaoKit(Kit):
    """What the rig of its own suites does, as a kit."""

    name = "openbao"

    def __init__(self, place: Place) -> None:
        clock, line = ShiftedClock(), httpx2.AsyncClient(trust_env=False)
        bao = OpenBao.configured({"address": place.base}, {"app": APP}, Secret(place.admin), clock)
        self.made, self._line, self._rig = bao, line, BaoRig(place.base, bao, clock, line)

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
        await self.made.close()
        await self._line.aclose()
