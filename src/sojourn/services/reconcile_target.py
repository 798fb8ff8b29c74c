"""Compare what a target holds with what is on record; nothing is changed.

A handle holds its lease's id, so every credential found leads to its lease without a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sojourn.config import Settings
from sojourn.core.ids import LEASE, LeaseId, SessionId, TargetId
from sojourn.core.lease import LeaseState
from sojourn.core.session import State
from sojourn.ports.provider import Found, Providers
from sojourn.ports.store import SessionFilter, Store
from sojourn.services._targets import target_called

_PAGE: Final = 500
_HOLDING: Final = frozenset({LeaseState.ISSUED, LeaseState.FROZEN})


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`unknown` is in the target and should not be; `missing` are handles that should be."""

    unknown: tuple[Found, ...]
    missing: tuple[str, ...]
    known: int


class ReconcileTarget:
    """Finds standing access that nothing on record accounts for."""

    def __init__(self, store: Store, providers: Providers, settings: Settings) -> None:
        self._store = store
        self._providers = providers
        self._settings = settings

    async def __call__(self, name: str) -> Reconciliation:
        """The differences, as far as they hold while sessions come and go.

        Raises:
            NotFound: code `unknown_target`.
            TargetError: the target could not be asked.
        """
        target = await target_called(self._store, name)
        provider = await self._providers.of(target)
        expected = await self._expected(target.id)
        found = await provider.inventory(self._settings.handle_prefix)
        unknown = [one for one in found if not await self._accounted(one, target.id)]
        there = {one.handle for one in found}
        missing = [handle for handle in expected if handle not in there and await self._is_held(handle)]
        return Reconciliation(tuple(unknown), tuple(missing), len(found) - len(unknown))

    async def _accounted(self, found: Found, target: TargetId) -> bool:
        lease = await self._store.lease(self._lease_of(found.handle))
        return lease is not None and lease.target == target and lease.state is not LeaseState.DESTROYED

    async def _is_held(self, handle: str) -> bool:
        lease = await self._store.lease(self._lease_of(handle))
        return lease is not None and lease.state in _HOLDING

    def _lease_of(self, handle: str) -> LeaseId:
        return LeaseId(f"{LEASE}_{handle.removeprefix(self._settings.handle_prefix)}")

    async def _expected(self, target: TargetId) -> Sequence[str]:
        living = SessionFilter(states=frozenset({State.ACTIVE, State.SUSPENDED}))
        handles: list[str] = []
        after: SessionId | None = None
        while page := await self._store.sessions(living, after=after, limit=_PAGE):
            for session in page:
                leases = await self._store.leases(session.id)
                handles += [one.handle for one in leases if one.target == target and one.state in _HOLDING]
            after = page[-1].id
        return handles
