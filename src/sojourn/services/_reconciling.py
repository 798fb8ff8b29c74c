"""Which sessions wait, since a restore, for an operator to look at their targets."""

from __future__ import annotations

from sojourn.core.errors import Refused
from sojourn.core.ids import SessionId
from sojourn.core.lease import LeaseState
from sojourn.core.target import Target
from sojourn.ports.store import Store


async def waits(store: Store, session: SessionId) -> bool:
    """Whether `session` has a credential in a target that is to be reconciled first."""
    paused = await store.reconciling()
    if not paused:
        return False
    leases = await store.leases(session)
    return any(one.target in paused and one.state is not LeaseState.DESTROYED for one in leases)


async def require_reconciled(store: Store, target: Target) -> None:
    """Refuse to make a credential where none would be destroyed.

    Raises:
        Refused: code `target_not_ready`.
    """
    if target.id in await store.reconciling():
        raise Refused("target_not_ready", f"target `{target.name}` waits to be reconciled after a restore")
