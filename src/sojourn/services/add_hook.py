"""Configure hooks: addresses that are told of facts; and who speaks through them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

from sojourn.core.change import Change, Pin, Sealed, pin
from sojourn.core.client import Client
from sojourn.core.errors import Conflict
from sojourn.core.hook import Hook, add, link, remove, unlink
from sojourn.core.ids import HOOK, HookId, from_uuid
from sojourn.core.record import RowKind, Step
from sojourn.core.secret import Secret
from sojourn.core.signed_message import PREFIX
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.keys import Sealer
from sojourn.ports.store import Store
from sojourn.services._hooks import hook_called, require_url, secret_name
from sojourn.services._retry import decide_again

_SECRET_BYTES = 32


class AddHook:
    """Adds hooks and removes them; links people to them and unlinks them."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, sealer: Sealer) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sealer = sealer

    async def __call__(
        self, name: str, url: str, *, events: Sequence[str], answers: bool, by: str
    ) -> tuple[Hook, Secret]:
        """The hook and its secret, made here; it is told of what happens from now on.

        Raises:
            Invalid: codes `bad_url`, `unknown_event`.
            Conflict: code `hook_exists`.
        """
        require_url(url)
        if any(one.name == name for one in await self._store.hooks()):
            raise Conflict("hook_exists", f"a hook `{name}` exists; remove it first")
        since = (await self._store.head()).journal_size
        made = HookId(from_uuid(HOOK, self._entropy.uuid7()))
        chosen = tuple(dict.fromkeys(events))
        hook = Hook(made, 1, name, url, chosen, answers, since, self._clock.now(), by)
        encoded = base64.b64encode(self._entropy.token(_SECRET_BYTES).encode()).decode()
        secret = Secret(f"{PREFIX}{encoded}")
        ciphertext = self._sealer.seal(secret_name(hook), secret.reveal().encode())
        await self._store.commit(Change(steps=(add(hook),), sealed=(Sealed(secret_name(hook), ciphertext),)))
        return hook, secret

    async def remove(self, name: str) -> Hook:
        """The hook, removed; its secret is erased.

        Raises:
            NotFound: code `unknown_hook`.
        """

        async def attempt() -> Hook:
            step = remove(await hook_called(self._store, name), self._clock.now())
            await self._store.commit(Change(steps=(step,), sealed=(Sealed(secret_name(step.row), None),)))
            return step.row

        return await decide_again(attempt, self._clock)

    async def link(self, name: str, person: str, by: Client) -> Hook:
        """What `person` says at the hook counts as the word of `by`, who asks for it.

        Raises:
            NotFound: code `unknown_hook`.
            Refused: code `wrong_role`.
            Invalid: codes `takes_no_answers`, `too_many_people`.
            Conflict: code `person_linked`.
        """
        # Pinned: somebody who is removed meanwhile has linked nobody.
        pins = (pin(RowKind.CLIENT, by),)
        return await self._move(name, lambda hook: link(hook, person, by, self._clock.now()), pins)

    async def unlink(self, name: str, person: str) -> Hook:
        """What `person` says at the hook counts for nobody any more.

        Raises:
            NotFound: codes `unknown_hook`, `unknown_person`.
        """
        return await self._move(name, lambda hook: unlink(hook, person, self._clock.now()))

    async def _move(
        self, name: str, step_of: Callable[[Hook], Step[Hook]], pins: tuple[Pin, ...] = ()
    ) -> Hook:
        async def attempt() -> Hook:
            step = step_of(await hook_called(self._store, name))
            await self._store.commit(Change(steps=(step,), pins=pins))
            return step.row

        return await decide_again(attempt, self._clock)
