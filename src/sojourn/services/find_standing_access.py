"""List the credentials of a target that no session of ours has made."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.config import Settings
from sojourn.core.errors import Invalid
from sojourn.core.standing import Standing
from sojourn.ports.provider import FindsStanding, Providers
from sojourn.ports.store import Store
from sojourn.services._targets import target_called


class FindStandingAccess:
    """Asks a target for its accounts; what is ours and unknown is for `reconcile_target`."""

    def __init__(self, store: Store, providers: Providers, settings: Settings) -> None:
        self._store = store
        self._providers = providers
        self._settings = settings

    async def __call__(self, name: str) -> Sequence[Standing]:
        """What stands there, as far as the target tells.

        Raises:
            NotFound: code `unknown_target`.
            Invalid: code `not_discoverable`; this kind of target keeps no list of accounts.
            TargetError: the target could not be asked.
        """
        target = await target_called(self._store, name)
        provider = await self._providers.of(target)
        if not isinstance(provider, FindsStanding):
            raise Invalid("not_discoverable", f"a `{target.provider}` target cannot list its accounts")
        return await provider.standing(self._settings.handle_prefix)
