"""Make nothing new in a target from now on; what lives in it runs to its end."""

from __future__ import annotations

from sojourn.core.change import Change
from sojourn.core.target import Target, TargetState, drain
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services._targets import target_called


class DrainTarget:
    """Stops a target from receiving credentials; asking twice changes nothing."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, name: str) -> Target:
        """The target, draining.

        Raises:
            NotFound: code `unknown_target`.
        """
        return await decide_again(lambda: self._attempt(name), self._clock)

    async def _attempt(self, name: str) -> Target:
        target = await target_called(self._store, name)
        if target.state is TargetState.DRAINING:
            return target
        step = drain(target, self._clock.now())
        await self._store.commit(Change(steps=(step,)))
        return step.row
