"""Send many leases to their targets at once, each exactly once, and say how each send ended.

Knows three outcomes of a send: it was answered, it certainly never left, or nobody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sojourn.core.change import Change, ErrandKind
from sojourn.core.errors import TargetError
from sojourn.core.ids import LeaseId
from sojourn.core.lease import Lease, LeaseState, settle
from sojourn.core.secret import Secret
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.provider import Issued
from sojourn.ports.store import Store
from sojourn.services._errands import new_errand
from sojourn.services._kept import KeptSecrets
from sojourn.services._retry import decide_until_it_lands

MOST_AT_ONCE: Final = 8
"""Sends in flight for one session: one session must not use up a target's connections."""

Send = Callable[[Lease], Awaitable[Issued]]


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential on its way to the workload: shown once, never stored."""

    grant: str
    target: str
    provider: str
    connection: dict[str, str]
    secret: Secret


class Sending:
    """One round of sends: what is known of each while it runs and after it was cut short."""

    def __init__(self, leases: Sequence[Lease]) -> None:
        self.leases = tuple(leases)
        self.answers: dict[LeaseId, Issued] = {}
        self.failures: list[TargetError] = []
        self._unsent = {lease.id for lease in leases}

    async def run(self, send: Send, clock: Clock, *, timeout_s: float) -> None:
        """Send every lease; failures are kept, none of them stops another send."""
        slots = asyncio.Semaphore(MOST_AT_ONCE)

        async def one(lease: Lease) -> None:
            async with slots:
                if clock.now() >= lease.issue_by:
                    self.failures.append(TargetError("late", "no time was left to send it", sent=False))
                    return
                # From here on nobody knows, until the target answers.
                self._unsent.discard(lease.id)
                await self._send(lease, send, timeout_s)

        async with asyncio.TaskGroup() as group:
            for lease in self.leases:
                group.create_task(one(lease))

    async def _send(self, lease: Lease, send: Send, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                self.answers[lease.id] = await send(lease)
        except TargetError as error:
            self.failures.append(error)
            if not error.sent:
                self._unsent.add(lease.id)
        except TimeoutError:
            self.failures.append(
                TargetError("target_timeout", f"target `{lease.target_name}` did not answer in time")
            )

    def knows(self, lease: LeaseId) -> bool:
        """Whether the send of `lease` can have no effect that is still to come."""
        return lease in self.answers or lease in self._unsent


class RecordOutcomes:
    """Settles leases whose send is known to be over, so that their absence counts at once.

    A lease that is already being destroyed gets an errand that is due now: the one it has
    may be waiting for the fence.
    """

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, kept: KeptSecrets) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._kept = kept

    async def __call__(self, sending: Sending) -> None:
        """Record what `sending` knows; what it does not know is left to the fence."""
        for lease in sending.leases:
            if sending.knows(lease.id):
                await self._until_settled(lease.id, sending.answers.get(lease.id))

    async def _until_settled(self, lease_id: LeaseId, answer: Issued | None) -> None:
        await decide_until_it_lands(lambda: self._settle(lease_id, answer), self._clock)

    async def _settle(self, lease_id: LeaseId, answer: Issued | None) -> None:
        lease = await self._store.lease(lease_id)
        if lease is None:  # its plan never landed, so it was never sent
            return
        now = self._clock.now()
        sealed = self._kept.sealed(lease_id, answer)
        step = settle(lease, answer.target_id if answer else None, now, keeps=bool(sealed))
        if not step.facts:
            return
        leaving = step.row.state is LeaseState.DESTROYING
        errands = (new_errand(ErrandKind.DESTROY, step.row, self._entropy, now),) if leaving else ()
        await self._store.commit(Change(steps=(step,), errands=errands, sealed=sealed))
