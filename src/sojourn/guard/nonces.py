"""Nonces that a guard wants in proofs (RFC 9449, section 9), so that one serves at one guard only.

A guard remembers the proofs it has seen; another process, or the same one after a restart, does not
know them. With nonces of its own a proof that was made for one process is refused by every other, also
by its successor. With a shared secret the processes behind one balancer take each other's: no request
is sent twice on its way, and a stolen proof is good once more at another of them until its nonce is old.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.core.nonce import nonces_at
from sojourn.guard.profile import read_private

_OCTETS: Final = 32


class Nonces:
    """Makes nonces and knows them again, without remembering any."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Nonces(***)"

    @staticmethod
    def own() -> Nonces:
        """For this process alone, and only until it ends."""
        return Nonces(secrets.token_bytes(_OCTETS))

    @staticmethod
    def shared(path: Path) -> Nonces:
        """For all processes that can read the 0600 file: at least 32 characters, made at random.

        Raises:
            Invalid: code `unsafe_file` or `bad_profile`.
        """
        secret = read_private(path).strip().encode()
        if len(secret) < _OCTETS:
            raise Invalid("bad_profile", f"`{path}` holds less than {_OCTETS} characters")
        return Nonces(secret)

    def good(self, now: datetime) -> tuple[str, ...]:
        """Those that are taken now; the first is the one to give out."""
        return nonces_at(self._secret, now)
