"""Let the next key of a purpose sign from now on; nothing that was signed before is refused."""

from __future__ import annotations

from sojourn.core.signing_key import Purpose, SigningKey
from sojourn.ports.clock import Clock
from sojourn.services._keys import Keys
from sojourn.services._retry import decide_again


class RotateKey:
    """Rotates on demand; the worker does it every 30 days."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def __call__(self, purpose: Purpose) -> SigningKey:
        """The key that signs from now on.

        Raises:
            Unavailable: code `no_signer`; there is no next key, and none can be made.
        """
        return await decide_again(lambda: self._keys.rotate(purpose), self._clock)
