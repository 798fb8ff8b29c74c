"""Try a target out before anything depends on it: a canary is made, used, cut and proven dead."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.config import Settings
from sojourn.core.change import Change
from sojourn.core.target import Target, preflighted
from sojourn.ports.clock import Clock
from sojourn.ports.provider import Check, Providers
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services._targets import target_called


class PreflightTarget:
    """Runs a target's checks and records whether it passed."""

    def __init__(self, store: Store, clock: Clock, providers: Providers, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._providers = providers
        self._settings = settings

    async def __call__(self, name: str) -> tuple[Target, Sequence[Check]]:
        """The target as it is now, and every check that was made.

        Raises:
            NotFound: code `unknown_target`.
            TargetError: the target could not be asked; its state stays.
        """
        target = await target_called(self._store, name)
        provider = await self._providers.of(target)
        checks = await provider.preflight(self._settings.handle_prefix)
        passed = bool(checks) and all(check.ok for check in checks)
        return await decide_again(lambda: self._record(name, passed), self._clock), checks

    async def _record(self, name: str, passed: bool) -> Target:
        target = await target_called(self._store, name)
        step = preflighted(target, passed=passed, now=self._clock.now())
        await self._store.commit(Change(steps=(step,)))
        return step.row
