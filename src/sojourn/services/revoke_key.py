"""A key is compromised: refuse everything it ever signed, here at once and at guards within D.

It waits on nothing but the database: not on the vault, which may be what was broken into.
"""

from __future__ import annotations

from sojourn.core.errors import NotFound
from sojourn.core.signing_key import KeyState, SigningKey
from sojourn.ports.clock import Clock
from sojourn.services._keys import Keys
from sojourn.services._retry import decide_until_it_lands


class RevokeKey:
    """Revokes one key by its `kid`."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def __call__(self, kid: str, *, by: str) -> SigningKey:
        """The key, revoked; asking again changes nothing.

        Raises:
            NotFound: code `unknown_key`.
        """
        return await decide_until_it_lands(lambda: self._attempt(kid, by), self._clock)

    async def _attempt(self, kid: str, by: str) -> SigningKey:
        key = next((key for key in await self._keys.all() if key.id == kid), None)
        if key is None:
            raise NotFound("unknown_key", f"there is no key `{kid[:64]}`")
        return key if key.state is KeyState.REVOKED else await self._keys.revoke(key, by)
