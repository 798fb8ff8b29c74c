"""List the credentials of a target that no session of ours has made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sojourn.config import Settings
from sojourn.core.errors import Invalid
from sojourn.core.standing import Standing
from sojourn.core.target import Target
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
        found = await provider.standing(self._settings.handle_prefix)
        return [_aimed(one, target) for one in found]


def _aimed(found: Standing, target: Target) -> Standing:
    """The finding, with what would be granted instead named as it is called here.

    Which of several templates fits, only people know: it is the one that is suggested, or the first.
    """
    if not found.grants or not target.templates:
        return found
    first = min(target.templates)
    grants = {
        name: {
            "target": target.name,
            "template": told if (told := one.get("template")) in target.templates else first,
        }
        for name, one in found.grants.items()
        if "template" in one
    }
    return replace(found, grants={**found.grants, **grants})
