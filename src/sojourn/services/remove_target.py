"""Forget a target that holds nothing of ours."""

from __future__ import annotations

from sojourn.core.change import Change
from sojourn.core.errors import Conflict
from sojourn.core.target import Target, TargetState, remove
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services._targets import target_called


class RemoveTarget:
    """Removes a target that is not in use."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, name: str) -> Target:
        """The target, removed.

        Raises:
            NotFound: code `unknown_target`.
            Conflict: code `not_drained`; a ready target could receive a credential meanwhile.
            Refused: code `target_has_leases`.
        """
        return await decide_again(lambda: self._attempt(name), self._clock)

    async def _attempt(self, name: str) -> Target:
        target = await target_called(self._store, name)
        # INVARIANT: leases are planned only in a ready target, and the plan pins its version.
        # Once it is read in any other state its count of leases can only fall.
        if target.state is TargetState.READY:
            raise Conflict("not_drained", f"target `{name}` is ready; drain it first")
        living = await self._store.living_leases(target.id)
        step = remove(target, living_leases=living, now=self._clock.now())
        await self._store.commit(Change(steps=(step,)))
        return step.row
