"""Providers by the catalogue's names, each made once for its target and kept.

A provider is made from the target's settings and its unsealed admin secret; the secret is
held by the provider alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol, cast

from sojourn.catalog import PROVIDERS
from sojourn.core.errors import Invalid, TargetError
from sojourn.core.ids import TargetId
from sojourn.core.secret import Secret
from sojourn.core.target import Target
from sojourn.ports.clock import WallClock
from sojourn.ports.keys import Sealer
from sojourn.ports.provider import Provider
from sojourn.ports.store import Store


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
        self._made: dict[TargetId, Provider] = {}

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
        made = self._made.get(target.id)
        if made is not None:
            return made
        secret = await self._unsealed(target)
        try:
            fresh = self.make(target, secret)
        except Invalid as error:
            raise TargetError(error.code, error.message, sent=False) from error
        # Two callers may have made one each; neither has connected, and the first is kept.
        return self._made.setdefault(target.id, fresh)

    async def close(self) -> None:
        """Give back what every provider holds open."""
        while self._made:
            _, provider = self._made.popitem()
            await provider.close()

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
