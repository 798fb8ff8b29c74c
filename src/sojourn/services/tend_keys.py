"""Keep the keys as they should be: one that signs, one that is next, none too old, none lying about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sojourn.core.errors import Conflict
from sojourn.core.signing_key import AT_ONCE, ROTATE_AFTER, KeyState, Purpose, SigningKey, in_state
from sojourn.ports.clock import Clock
from sojourn.ports.keys import KeyRing
from sojourn.services._keys import Keys

ERASE_AFTER: Final = timedelta(seconds=10)
"""By then every node has heard that the key signs no more: until then one may still be signing."""


class TendKeys:
    """Makes what is missing, rotates what is due, erases what is done, and reads what others did."""

    def __init__(self, keys: Keys, ring: KeyRing, clock: Clock) -> None:
        self._keys = keys
        self._ring = ring
        self._clock = clock
        self._erased: set[str] = set()

    async def run_once(self) -> int:
        """How many keys were made, rotated or erased.

        Raises:
            Unavailable: code `no_signer`; a key was missing and could not be made.
        """
        await self._ring.reload()
        found, now = await self._keys.all(), self._clock.now()
        done = 0
        try:
            for purpose in Purpose:
                done += await self._tend(purpose, found, now)
        except Conflict:
            await self._ring.reload()  # another node was first, and did the same
        return done + await self._erase(found, now)

    async def _tend(self, purpose: Purpose, found: list[SigningKey], now: datetime) -> int:
        mine = [key for key in found if key.purpose is purpose]
        if not mine and purpose not in AT_ONCE:
            return 0
        active = in_state(mine, purpose, KeyState.ACTIVE)
        if active is not None and now - (active.activated_at or active.made_at) >= ROTATE_AFTER:
            await self._keys.rotate(purpose)
            return 1
        return 0 if active and in_state(mine, purpose, KeyState.NEXT) else await self._keys.complete(purpose)

    async def _erase(self, found: list[SigningKey], now: datetime) -> int:
        erased = 0
        for key in found:
            ended = key.revoked_at or key.retired_at
            if ended is None or key.id in self._erased or now < ended + ERASE_AFTER:
                continue
            await self._keys.erase(key)
            self._erased.add(key.id)
            erased += 1
        return erased
