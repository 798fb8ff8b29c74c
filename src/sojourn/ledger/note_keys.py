"""Ed25519 keys for signed notes: the only module of this package that needs `cryptography`.

Source: c2sp.org/signed-note, signature type 0x01; RFC 8032.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sojourn.ledger.errors import LedgerError, quote
from sojourn.ledger.note import VerifierKey, parse_vkey

ED25519: Final = 0x01
_KEY_BYTES: Final = 32


class Ed25519Signer:
    """A private key in memory; it shows its public half and nothing else."""

    __slots__ = ("_private", "_vkey")

    def __init__(self, name: str, private: bytes) -> None:
        """Take the 32 bytes of an Ed25519 private key (RFC 8032, section 5.1.5).

        Raises:
            LedgerError: codes `bad_key` and `bad_key_name`.
        """
        if len(private) != _KEY_BYTES:
            raise LedgerError("bad_key", f"expected {_KEY_BYTES} bytes of Ed25519 key, got {len(private)}")
        self._private = Ed25519PrivateKey.from_private_bytes(private)
        self._vkey = VerifierKey(name, ED25519, self._private.public_key().public_bytes_raw())

    @property
    def name(self) -> str:
        """The key's name in signature lines."""
        return self._vkey.name

    @property
    def key_id(self) -> bytes:
        """The key's four-byte id."""
        return self._vkey.key_id

    @property
    def vkey(self) -> str:
        """The public half, as published."""
        return str(self._vkey)

    def sign(self, text: bytes) -> bytes:
        """Sign the text of a note."""
        return self._private.sign(text)


class Ed25519Verifier:
    """A public key that is trusted to sign."""

    __slots__ = ("_public", "_vkey")

    def __init__(self, vkey: VerifierKey) -> None:
        """Take a published key.

        Raises:
            LedgerError: code `bad_vkey`; another algorithm, or not a key of this one.
        """
        if vkey.algorithm != ED25519 or len(vkey.public) != _KEY_BYTES:
            raise LedgerError("bad_vkey", f"expected an Ed25519 key, got {quote(str(vkey))}")
        self._vkey = vkey
        self._public = Ed25519PublicKey.from_public_bytes(vkey.public)

    @classmethod
    def from_vkey(cls, text: str) -> Ed25519Verifier:
        """Read a published key.

        Raises:
            LedgerError: code `bad_vkey`.
        """
        return cls(parse_vkey(text))

    @property
    def name(self) -> str:
        """The key's name in signature lines."""
        return self._vkey.name

    @property
    def key_id(self) -> bytes:
        """The key's four-byte id."""
        return self._vkey.key_id

    @property
    def vkey(self) -> str:
        """The key, as published."""
        return str(self._vkey)

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's signature of `text`."""
        try:
            self._public.verify(signature, text)
        except InvalidSignature:
            return False
        return True
