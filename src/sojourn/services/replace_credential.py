"""Give a target another admin credential, while its sessions and errands go on."""

from __future__ import annotations

from sojourn.config import Settings
from sojourn.core.change import Change, Sealed
from sojourn.core.errors import TargetError
from sojourn.core.secret import Secret
from sojourn.core.target import Target, replace_credential
from sojourn.ports.clock import Clock
from sojourn.ports.keys import Sealer
from sojourn.ports.provider import Provider
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services._targets import MakeProvider, sealed_name, target_called


class ReplaceCredential:
    """Seals a new admin credential, once the target has answered to it."""

    def __init__(
        self, store: Store, clock: Clock, sealer: Sealer, settings: Settings, *, make: MakeProvider
    ) -> None:
        self._store = store
        self._clock = clock
        self._sealer = sealer
        self._settings = settings
        self._make = make

    async def __call__(self, name: str, secret: Secret) -> Target:
        """The target, which uses `secret` from now on, on every node; errands that failed go on.

        Raises:
            NotFound: code `unknown_target`.
            Invalid: what was given is no credential for this kind of target.
            TargetError: the target did not answer to it; the old one stays in use.
        """
        await self._try_out(await target_called(self._store, name), secret)
        return await decide_again(lambda: self._record(name, secret), self._clock)

    async def _try_out(self, target: Target, secret: Secret) -> None:
        provider = self._make(target, secret)
        try:
            if await provider.inventory(self._settings.handle_prefix) is None:
                await self._rehearse(provider)
        except TargetError as error:
            raise TargetError(error.code, f"with the new credential: {error.message}", sent=False) from error
        finally:
            await provider.close()

    async def _rehearse(self, provider: Provider) -> None:
        """For a target that keeps no list: only a preflight shows whether it takes the credential."""
        for check in await provider.preflight(self._settings.handle_prefix):
            if not check.ok:
                raise TargetError("admin_login_refused", f"{check.name}: {check.detail}", sent=False)

    async def _record(self, name: str, secret: Secret) -> Target:
        target = await target_called(self._store, name)
        place = sealed_name(target.id)
        sealed = Sealed(place, self._sealer.seal(place, secret.reveal().encode()))
        step = replace_credential(target, self._clock.now())
        await self._store.commit(Change(steps=(step,), sealed=(sealed,)))
        return step.row
