"""A vault whose private keys lie in the database, each sealed under a key that lies in a file.

All nodes that have the file can sign with every key; a copy of the database alone signs nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sojourn.adapters.key_pairs import (
    PrivateKey,
    from_octets,
    generate,
    jwk_of,
    kid_of,
    sign,
    to_octets,
)
from sojourn.core.signing_key import sealed_name
from sojourn.ports.keys import MadeKey, Sealer

_OPENED: Final = 32  # private keys kept in memory: more than are ever in use at once


class FileVault:
    """Makes and uses keys that are sealed by `sealer`."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._opened: OrderedDict[tuple[str, bytes], PrivateKey] = OrderedDict()

    def make(self, algorithm: str) -> MadeKey:
        """A fresh key, sealed under its own name."""
        return self.take_in(generate(algorithm))

    def take_in(self, private: PrivateKey) -> MadeKey:
        """Seal a key that was made elsewhere."""
        jwk = jwk_of(private.public_key())
        kid = kid_of(jwk)
        return MadeKey(jwk, kid, self._sealer.seal(sealed_name(kid), to_octets(private)))

    def sign(self, key: MadeKey, algorithm: str, message: bytes) -> bytes:
        """The signature; `algorithm` is what the key is made for."""
        return sign(self._private(key), message)

    def forget(self, key: MadeKey) -> None:
        """Drop the opened key; what was sealed is deleted by the store."""
        self._opened.pop((key.kid, key.kept), None)

    def _private(self, key: MadeKey) -> PrivateKey:
        place = (key.kid, key.kept)
        found = self._opened.get(place)
        if found is None:
            found = from_octets(self._sealer.unseal(sealed_name(key.kid), key.kept))
            self._opened[place] = found
            if len(self._opened) > _OPENED:
                self._opened.popitem(last=False)
        return found
