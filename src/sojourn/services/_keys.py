"""Making, activating and revoking keys: what the verbs on keys share."""

from __future__ import annotations

from datetime import datetime

from sojourn.core.change import Change, Sealed
from sojourn.core.errors import Conflict
from sojourn.core.record import Row, Step
from sojourn.core.signing_key import (
    ALGORITHM,
    KeyId,
    KeyState,
    Purpose,
    SigningKey,
    activate,
    in_state,
    make,
    refusal,
    retire,
    revoke,
    sealed_name,
)
from sojourn.ports.clock import Clock
from sojourn.ports.keys import KeyRing, KeyVault, MadeKey
from sojourn.ports.store import Store


class Keys:
    """Writes what happens to keys; every change is one commit, after each of which a key still signs."""

    def __init__(self, store: Store, clock: Clock, vault: KeyVault, ring: KeyRing) -> None:
        self._store = store
        self._clock = clock
        self._vault = vault
        self._ring = ring

    async def all(self) -> list[SigningKey]:
        """Every key, oldest first, as stored now."""
        return list(await self._store.signing_keys())

    async def complete(self, purpose: Purpose) -> int:
        """See to it that one key signs and one is next; how many were made.

        Raises:
            Conflict: code `stale`; another node was first.
            Unavailable: code `no_signer`.
        """
        keys = await self.all()
        made = 0
        waiting = in_state(keys, purpose, KeyState.NEXT)
        if in_state(keys, purpose, KeyState.ACTIVE) is None:
            if waiting is not None:
                await self._commit(Change(steps=(activate(waiting, self._clock.now()),)))
                waiting = None
            else:
                await self._make(purpose, KeyState.ACTIVE)
                made += 1
        if waiting is None:
            await self._make(purpose, KeyState.NEXT)
            made += 1
        return made

    async def rotate(self, purpose: Purpose) -> SigningKey:
        """Let the next key sign, and the one that did only verify; one more is next, in the same commit.

        Raises:
            Conflict: code `stale`; another node was first.
            Unavailable: code `no_signer`; there is no next key, and none can be made.
        """
        await self.complete(purpose)
        keys, now = await self.all(), self._clock.now()
        active, following = (in_state(keys, purpose, state) for state in (KeyState.ACTIVE, KeyState.NEXT))
        if active is None or following is None:
            raise Conflict("stale", "another node changed the keys meanwhile")
        took_over = activate(following, now)
        await self._make(purpose, KeyState.NEXT, retire(active, now), took_over)
        return took_over.row

    async def revoke(self, key: SigningKey, by: str) -> SigningKey:
        """Refuse everything the key ever signed; if it was the one that signs, the next one takes over.

        Raises:
            Conflict: code `stale` or `wrong_state`.
        """
        now = self._clock.now()
        ended = revoke(key, now, by)
        steps: tuple[Step[Row], ...] = (ended,)
        following = in_state(await self.all(), key.purpose, KeyState.NEXT)
        if key.state is KeyState.ACTIVE and following is not None:
            steps += (activate(following, now),)
        await self._commit(Change(steps=steps, revocations=(refusal(ended.row, now),), ending=True))
        return ended.row

    async def erase(self, key: SigningKey) -> None:
        """Destroy the private half of a key that may not sign again; harmless when it is gone."""
        name = sealed_name(key.id)
        kept = await self._store.sealed(name)
        if kept:
            self._vault.forget(MadeKey(key.jwk, key.id, kept))
            await self._store.commit(Change(sealed=(Sealed(name, None),)))

    async def _make(self, purpose: Purpose, state: KeyState, *before: Step[Row]) -> None:
        """Make a key, in one commit with what makes room for it."""
        made, now = self._vault.make(ALGORITHM[purpose]), self._clock.now()
        key = _row(made, purpose, state, now)
        sealed = Sealed(sealed_name(made.kid), made.kept)
        try:
            await self._commit(Change(steps=(*before, make(key)), sealed=(sealed,)))
        except Conflict:
            self._vault.forget(made)
            raise

    async def _commit(self, change: Change) -> None:
        await self._store.commit(change)
        await self._ring.reload()


def _row(made: MadeKey, purpose: Purpose, state: KeyState, now: datetime) -> SigningKey:
    return SigningKey(
        id=KeyId(made.kid),
        version=1,
        purpose=purpose,
        state=state,
        algorithm=ALGORITHM[purpose],
        jwk=made.jwk,
        made_at=now,
        activated_at=now if state is KeyState.ACTIVE else None,
    )
