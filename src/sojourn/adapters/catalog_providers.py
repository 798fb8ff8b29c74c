"""Providers by the catalogue's names, each made once for a target and its credential, and kept.

A provider is made from the target's settings and its unsealed admin secret; the secret is
held by the provider alone. When the credential was replaced, here or at another node, the
next call gets a new provider; what was under way goes on with the old one for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Final, Protocol, cast

from sojourn.catalog import PROVIDERS
from sojourn.core.errors import Invalid, TargetError
from sojourn.core.ids import TargetId
from sojourn.core.secret import Secret
from sojourn.core.target import Target
from sojourn.ports.clock import WallClock
from sojourn.ports.keys import Sealer
from sojourn.ports.provider import Provider
from sojourn.ports.store import Store

RETIRED_FOR: Final = timedelta(seconds=30)
"""Longer than any call to a target takes: then nothing uses the replaced credential any more."""


@dataclass(frozen=True, slots=True)
class _Made:
    number: int  # of the admin credential
    provider: Provider


class ProviderClass(Protocol):
    """What a class named in the catalogue offers."""

    def configured(
        self,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> Provider:
        """A provider for one target.

        Raises:
            Invalid: code `bad_target`.
        """
        ...


class CatalogProviders:
    """Hands out the provider of a target (`ports.provider.Providers`)."""

    def __init__(
        self, store: Store, sealer: Sealer, clock: WallClock, *, sealed_name: Callable[[TargetId], str]
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._sealed_name = sealed_name
        self._made: dict[TargetId, _Made] = {}
        self._retired: list[tuple[datetime, Provider]] = []

    def make(self, target: Target, secret: Secret) -> Provider:
        """A provider for `target` that nobody shares; it connects to nothing until it is used.

        Raises:
            Invalid: code `unknown_provider` or `bad_target`.
        """
        return provider_class(target.provider).configured(
            target.settings, target.templates, secret, self._clock
        )

    async def of(self, target: Target) -> Provider:
        """The provider of `target`, kept for the next call.

        Raises:
            TargetError: code `no_admin_secret` or `unknown_provider`, with `sent` false.
        """
        await self._close_retired(self._clock.now())
        made = self._made.get(target.id)
        if made is not None and made.number >= target.secret_number:
            return made.provider
        secret = await self._unsealed(target)
        try:
            fresh = self.make(target, secret)
        except Invalid as error:
            raise TargetError(error.code, error.message, sent=False) from error
        return self._keep(target, fresh)

    def _keep(self, target: Target, fresh: Provider) -> Provider:
        made = self._made.get(target.id)
        # Two callers may have made one each; neither has connected, and the first is kept.
        if made is not None and made.number >= target.secret_number:
            return made.provider
        if made is not None:
            self._retired.append((self._clock.now() + RETIRED_FOR, made.provider))
        self._made[target.id] = _Made(target.secret_number, fresh)
        return fresh

    async def _close_retired(self, now: datetime) -> None:
        over = [provider for until, provider in self._retired if until <= now]
        self._retired = [(until, provider) for until, provider in self._retired if until > now]
        for provider in over:
            await provider.close()

    async def close(self) -> None:
        """Give back what every provider holds open."""
        await self._close_retired(datetime.max.replace(tzinfo=UTC))
        while self._made:
            _, made = self._made.popitem()
            await made.provider.close()

    async def _unsealed(self, target: Target) -> Secret:
        name = self._sealed_name(target.id)
        ciphertext = await self._store.sealed(name)
        if ciphertext is None:
            raise TargetError("no_admin_secret", f"target `{target.name}` has no admin secret", sent=False)
        try:
            return Secret(self._sealer.unseal(name, ciphertext).decode())
        except Invalid as error:
            raise TargetError("no_admin_secret", error.message, sent=False) from error


def provider_class(name: str) -> ProviderClass:
    """The class that the catalogue lists under `name`.

    Raises:
        Invalid: code `unknown_provider`.
    """
    place = PROVIDERS.get(name)
    if place is None:
        raise Invalid("unknown_provider", f"no provider `{name[:40]}`; known: {', '.join(sorted(PROVIDERS))}")
    module, _, attribute = place.partition(":")
    return cast("ProviderClass", getattr(import_module(module), attribute))
