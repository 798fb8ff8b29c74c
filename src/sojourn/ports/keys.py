"""Keys stay on the other side: a signer signs, a sealer seals, nobody hands out a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class TokenSigner(Protocol):
    """Signs access tokens (ES256 only) with the control plane's token key."""

    @property
    def kid(self) -> str:
        """The id of the key in use: its RFC 7638 thumbprint."""
        ...

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS over `claims`, with `alg` and `kid` set by us."""
        ...

    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """The JWKs by which tokens can be verified, newest first."""
        ...


class NoteSigner(Protocol):
    """Signs checkpoints and bundles (Ed25519, C2SP signed note)."""

    @property
    def name(self) -> str: ...

    @property
    def vkey(self) -> str:
        """The public key in C2SP form: `name+keyid+base64`."""
        ...

    def sign_note(self, text: str) -> str:
        """`text` followed by its signature line."""
        ...


class Sealer(Protocol):
    """Encrypts small secrets under a key that is not in the database."""

    def seal(self, name: str, secret: bytes) -> bytes:
        """Ciphertext bound to `name`: it opens under no other."""
        ...

    def unseal(self, name: str, ciphertext: bytes) -> bytes:
        """The secret.

        Raises:
            Invalid: code `unsealable`; another key, another name, or altered bytes.
        """
        ...
