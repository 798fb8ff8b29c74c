"""Keys stay on the other side: a vault signs, a sealer seals, nobody hands out a private key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sojourn.core.signing_key import Purpose


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A fresh key pair: the public half, and what the vault needs to be given to sign with it.

    `kept` is worth nothing outside the vault: a sealed private key, or a place in a token.
    """

    jwk: Mapping[str, str]
    kid: str
    kept: bytes

    def __repr__(self) -> str:
        return f"MadeKey({self.kid})"


class KeyVault(Protocol):
    """Makes key pairs and signs with them; the only place where a private key is ever whole.

    Calls may block for a moment. Every one raises `Unavailable`, code `no_signer`, when the
    vault cannot answer in time; nothing was signed then.
    """

    def make(self, algorithm: str) -> MadeKey:
        """A fresh key for ES256, RS256 or Ed25519."""
        ...

    def sign(self, key: MadeKey, algorithm: str, message: bytes) -> bytes:
        """The signature in the form that JWS has (RFC 7518, RFC 8037).

        Raises:
            Invalid: code `unsealable`; `kept` is not what this vault made for this key.
        """
        ...

    def forget(self, key: MadeKey) -> None:
        """Erase what the vault itself holds of the key; harmless for one that is gone."""
        ...


class TokenSigner(Protocol):
    """Signs JWTs of one purpose, with its active key."""

    @property
    def kid(self) -> str:
        """The id of the key in use: its RFC 7638 thumbprint.

        Raises:
            Unavailable: code `no_signer`; there is no active key.
        """
        ...

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS over `claims`, with `alg` and `kid` set by us.

        Raises:
            Unavailable: code `no_signer`; there is no active key, or the vault does not answer.
        """
        ...

    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """The JWKs by which what was signed for this purpose can be verified now, newest first."""
        ...


class NoteSigner(Protocol):
    """Signs checkpoints and bundles (Ed25519, C2SP signed note)."""

    @property
    def name(self) -> str: ...

    @property
    def vkey(self) -> str:
        """The public key in C2SP form: `name+keyid+base64`."""
        ...

    @property
    def vkeys(self) -> Sequence[str]:
        """Every key that ever signed for us, the one in use first: old checkpoints name old keys."""
        ...

    def sign_note(self, text: str) -> str:
        """`text` followed by its signature line.

        Raises:
            Unavailable: code `no_signer`.
        """
        ...


class KeyRing(Protocol):
    """All signing keys of the deployment, as last read from the store."""

    async def reload(self) -> None:
        """Read what any node has changed."""
        ...

    def signer(self, purpose: Purpose) -> TokenSigner:
        """What signs JWTs of that purpose, whichever key is active at the time."""
        ...

    def published(self) -> Sequence[Mapping[str, str]]:
        """The JWKs of every purpose: next, active and verify-only, each naming its `purpose`."""
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
