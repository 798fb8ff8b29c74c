"""Configure triggers: each gets a secret that is shown once, and a name to report at."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sojourn.core.change import Change, Sealed
from sojourn.core.errors import Conflict, Invalid, NotFound
from sojourn.core.ids import TRIGGER, TriggerId, from_uuid
from sojourn.core.secret import Secret
from sojourn.core.trigger import Trigger, add, remove
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.keys import Sealer
from sojourn.ports.store import Store
from sojourn.services._retry import decide_again
from sojourn.services.route_signals import secret_name

_SECRET_BYTES = 32


class AddTrigger:
    """Adds triggers of known kinds, and removes them."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, *, sealer: Sealer, kinds: Collection[str]
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sealer = sealer
        self._kinds = kinds

    async def __call__(
        self, name: str, kind: str, *, settings: Mapping[str, str], secret: Secret | None, by: str
    ) -> tuple[Trigger, Secret]:
        """The trigger and its secret: the one given, or one made here.

        Raises:
            Invalid: code `unknown_kind`.
            Conflict: code `trigger_exists`.
        """
        if kind not in self._kinds:
            known = ", ".join(self._kinds)
            raise Invalid("unknown_kind", f"no trigger of kind `{kind[:40]}`; known: {known}")
        if await self._store.trigger_named(name) is not None:
            raise Conflict("trigger_exists", f"a trigger `{name}` exists; remove it first")
        made = TriggerId(from_uuid(TRIGGER, self._entropy.uuid7()))
        trigger = Trigger(made, 1, name, kind, dict(settings), self._clock.now(), by)
        kept = secret or Secret(self._entropy.token(_SECRET_BYTES))
        ciphertext = self._sealer.seal(secret_name(trigger), kept.reveal().encode())
        sealed = (Sealed(secret_name(trigger), ciphertext),)
        await self._store.commit(Change(steps=(add(trigger),), sealed=sealed))
        return trigger, kept

    async def remove(self, name: str) -> Trigger:
        """The trigger, removed.

        Raises:
            NotFound: code `unknown_trigger`.
        """
        return await decide_again(lambda: self._remove(name), self._clock)

    async def _remove(self, name: str) -> Trigger:
        trigger = await self._store.trigger_named(name)
        if trigger is None:
            raise NotFound("unknown_trigger", "there is no such trigger")
        step = remove(trigger, self._clock.now())
        await self._store.commit(Change(steps=(step,)))
        return step.row
