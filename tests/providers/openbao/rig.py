"""A workload that writes a secret, against the real server and against the simulator."""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx2

from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Ref
from sojourn.providers.openbao import OpenBao
from tests.providers.http_rig import ShiftedClock, at_work, fresh_intent
from tests.rig.openbao import ROOT_TOKEN, Place

APP: dict[str, object] = {"policies": ["app"]}


@dataclass
class BaoRig:
    """Counts what the server took from each token; looks behind it as root."""

    base: str
    provider: OpenBao
    clock: ShiftedClock
    line: httpx2.AsyncClient
    uses: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    handles: dict[str, str] = field(default_factory=dict)

    def intent(self) -> Intent:
        return fresh_intent(self.clock, APP, life=timedelta(minutes=5))

    async def can_log_in(self, issued: Issued) -> bool:
        answer = await self.line.post(
            f"{self.base}/v1/secret/data/work",
            json={"data": {"n": 1}},
            headers={"X-Vault-Token": issued.secret.reveal()},
        )
        if answer.status_code == 200:
            self.uses[issued.target_id].append(datetime.now(UTC))
        return answer.status_code == 200

    def at_work(self, issued: Issued, *, tasks: int, every: float) -> AbstractAsyncContextManager[None]:
        return at_work(self.can_log_in, issued, tasks=tasks, every=every)

    async def writes(self, handle: str) -> int:
        return len(self.uses[handle])

    async def last_write(self, handle: str) -> datetime | None:
        return max(self.uses[handle], default=None)

    async def target_now(self) -> datetime:
        return datetime.now(UTC)

    async def survivors(self, target_id: str) -> int:
        place = f"{self.base}/v1/sys/leases/lookup/auth/token/create/{target_id}"
        answer = await self.line.request("LIST", place, headers={"X-Vault-Token": ROOT_TOKEN})
        return 0 if answer.status_code == 404 else len(answer.json()["data"]["keys"])

    async def close(self) -> None:
        await self.provider.close()
        await self.line.aclose()

    def ref(self, intent: Intent, issued: Issued) -> Ref:
        return Ref(intent.handle, issued.target_id, intent.expires_at)


def rig_at(place: Place) -> BaoRig:
    """A rig for a server that runs, with a provider that has the lesser admin's token."""
    clock = ShiftedClock()
    provider = OpenBao.configured({"address": place.base}, {"app": APP}, Secret(place.admin), clock)
    return BaoRig(place.base, provider, clock, httpx2.AsyncClient(trust_env=False))
