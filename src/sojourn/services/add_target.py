"""Make a target known, with its admin credential sealed beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sojourn.core.change import Change, Sealed
from sojourn.core.errors import Conflict, Invalid
from sojourn.core.ids import TARGET, TargetId, from_uuid
from sojourn.core.secret import Secret
from sojourn.core.target import Target, TargetState, add
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.keys import Sealer
from sojourn.ports.store import Store
from sojourn.services._targets import MakeProvider, sealed_name

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class AddTarget:
    """Records a target; nothing is issued in it before it has passed a preflight."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, sealer: Sealer, *, make: MakeProvider
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sealer = sealer
        self._make = make

    async def __call__(
        self,
        *,
        name: str,
        provider: str,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
    ) -> Target:
        """The target, untried.

        Raises:
            Invalid: codes `bad_name`, `unknown_provider`, `bad_template`, or one about the settings.
            Conflict: code `target_exists`.
        """
        if not _NAME.fullmatch(name):
            raise Invalid("bad_name", "expected a name of lower-case letters, digits, `.`, `_` and `-`")
        if await self._store.target_named(name) is not None:
            raise Conflict("target_exists", f"there is a target `{name}` already")
        target = Target(
            id=TargetId(from_uuid(TARGET, self._entropy.uuid7())),
            version=1,
            state=TargetState.UNTRIED,
            name=name,
            provider=provider,
            settings=settings,
            templates=templates,
            revocation_class="",
            added_at=self._clock.now(),
        )
        target = await self._checked(target, secret)
        sealed = sealed_name(target.id)
        ciphertext = self._sealer.seal(sealed, secret.reveal().encode())
        await self._store.commit(Change(steps=(add(target),), sealed=(Sealed(sealed, ciphertext),)))
        return target

    async def _checked(self, target: Target, secret: Secret) -> Target:
        provider = self._make(target, secret)
        try:
            for template in target.templates.values():
                provider.check_template(template)
            return replace(target, revocation_class=str(provider.revocation_class))
        finally:
            await provider.close()
