"""Compare what a target holds with what is on record; nothing is changed unless it is asked for.

A handle holds its lease's id, so every credential found leads to its lease without a search.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sojourn.config import Settings
from sojourn.core.errors import Invalid
from sojourn.core.ids import LEASE, LeaseId, SessionId, TargetId, to_uuid
from sojourn.core.lease import Lease, LeaseState
from sojourn.core.session import State
from sojourn.ports.provider import Found, Presence, Provider, Providers, Ref
from sojourn.ports.store import SessionFilter, Store
from sojourn.services._targets import target_called

_PAGE: Final = 500
_HOLDING: Final = frozenset({LeaseState.ISSUED, LeaseState.FROZEN})
_EXPECTED: Final = _HOLDING | {LeaseState.DESTROYING}
_LIVING: Final = frozenset({State.ACTIVE, State.SUSPENDED, State.REVOKING})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`unknown` is in the target and should not be; `missing` are handles that should be."""

    unknown: tuple[Found, ...]
    missing: tuple[str, ...]
    known: int
    due: tuple[str, ...] = ()  # handles that are destroyed as soon as nothing waits
    waiting: bool = False  # since a restore, for `apply`
    destroyed: tuple[Removed, ...] = ()
    listed: bool = True  # whether the target keeps a list of its credentials at all


@dataclass(frozen=True, slots=True)
class Removed:
    """A credential that nothing accounted for was destroyed: what the target said afterwards."""

    handle: str
    presence: Presence


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
        listed = await provider.inventory(self._settings.handle_prefix)
        found = listed or ()
        unknown = [one for one in found if not await self._accounted(one, target.id)]
        there = {one.handle for one in found}
        # What keeps no list can miss nothing; each credential of it is looked at by itself.
        sought = () if listed is None else expected
        missing = [one.handle for one in sought if await self._is_missing(one, there)]
        return Reconciliation(
            tuple(unknown),
            tuple(missing),
            len(found) - len(unknown),
            due=tuple(one.handle for one in expected if one.state is LeaseState.DESTROYING),
            waiting=target.id in await self._store.reconciling(),
            listed=listed is not None,
        )

    async def apply(self, name: str, *, destroy_unknown: bool) -> Reconciliation:
        """Compare, destroy what nothing accounts for if told to, and let destroying go on.

        What is destroyed has no lease and so no fact: the answer says what was observed.

        Raises:
            NotFound: code `unknown_target`.
            TargetError: the target could not be asked; it waits on.
        """
        target = await target_called(self._store, name)
        seen = await self(name)
        gone: list[Removed] = []
        if destroy_unknown:
            provider = await self._providers.of(target)
            gone = [await _destroy(one, provider) for one in seen.unknown]
        await self._store.reconciled(target.id)
        log.warning(
            "target `%s` was reconciled: %d unknown, %d destroyed", name, len(seen.unknown), len(gone)
        )
        return replace(seen, destroyed=tuple(gone), waiting=False)

    async def _accounted(self, found: Found, target: TargetId) -> bool:
        lease_id = self._lease_of(found.handle)
        if not _is_id(lease_id):
            return False  # under our prefix, and not made by us
        lease = await self._store.lease(lease_id)
        return lease is not None and lease.target == target and lease.state is not LeaseState.DESTROYED

    async def _is_missing(self, expected: Lease, there: set[str]) -> bool:
        if expected.handle in there or expected.state not in _HOLDING:
            return False
        lease = await self._store.lease(expected.id)  # it may have ended since
        return lease is not None and lease.state in _HOLDING

    def _lease_of(self, handle: str) -> LeaseId:
        return LeaseId(f"{LEASE}_{handle.removeprefix(self._settings.handle_prefix)}")

    async def _expected(self, target: TargetId) -> Sequence[Lease]:
        living = SessionFilter(states=_LIVING)
        expected: list[Lease] = []
        after: SessionId | None = None
        while page := await self._store.sessions(living, after=after, limit=_PAGE):
            for session in page:
                leases = await self._store.leases(session.id)
                expected += [one for one in leases if one.target == target and one.state in _EXPECTED]
            after = page[-1].id
        return expected


def _is_id(lease: LeaseId) -> bool:
    try:
        to_uuid(LEASE, lease)
    except Invalid:
        return False
    return True


async def _destroy(found: Found, provider: Provider) -> Removed:
    ref = Ref(found.handle, found.target_id)
    await provider.destroy(ref)
    return Removed(found.handle, (await provider.observe(ref)).presence)
