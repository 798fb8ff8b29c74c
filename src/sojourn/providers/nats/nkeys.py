"""Keys as NATS writes them: Ed25519, base32 with a prefix that says what for, and a checksum.

The form is that of `nats-io/nkeys`; the tokens are JWTs with the algorithm `ed25519-nkey`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret

OPERATOR: Final = 14 << 3  # written O…
ACCOUNT: Final = 0  # written A…
USER: Final = 20 << 3  # written U…
_SEED: Final = 18 << 3  # written S…
_HEADER: Final = b'{"typ":"JWT","alg":"ed25519-nkey"}'
_LENGTHS: Final = {"seed": 36, "public": 35}


@dataclass(frozen=True, slots=True)
class Key:
    """A private key; `public` is how it is named."""

    kind: int
    private: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The public key in the form of NATS."""
        return _encode(bytes([self.kind]) + self.private.public_key().public_bytes_raw())

    def seed(self) -> Secret:
        """The private key in the form of NATS."""
        head = bytes([_SEED | (self.kind >> 5), (self.kind & 31) << 3])
        return Secret(_encode(head + self.private.private_bytes_raw()))

    def sign(self, claims: Mapping[str, object]) -> str:
        """`claims` as a token of this key."""
        told = {name: value for name, value in claims.items() if name != "jti"} | {"iss": self.public}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()
        told["jti"] = base64.b32encode(digest).decode().rstrip("=")
        signed = f"{_b64(_HEADER)}.{_b64(json.dumps(told).encode())}"
        return f"{signed}.{_b64(self.private.sign(signed.encode()))}"


def new_key(kind: int) -> Key:
    """A fresh key."""
    return Key(kind, Ed25519PrivateKey.generate())


def read_seed(text: str, kind: int) -> Key:
    """The key of a seed.

    Raises:
        Invalid: code `bad_target`; the message never repeats the seed.
    """
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise Invalid("bad_target", "a seed is not base32") from error
    if len(raw) != _LENGTHS["seed"] or struct.unpack("<H", raw[-2:])[0] != _crc16(raw[:-2]):
        raise Invalid("bad_target", "a seed has a wrong length or checksum")
    if raw[0] & 0xF8 != _SEED or ((raw[0] & 7) << 5 | raw[1] >> 3) != kind:
        raise Invalid("bad_target", "a seed is of another kind than expected")
    return Key(kind, Ed25519PrivateKey.from_private_bytes(raw[2:-2]))


def is_account(text: str) -> bool:
    """Whether `text` names an account or an account's signing key."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return False
    intact = len(raw) == _LENGTHS["public"] and struct.unpack("<H", raw[-2:])[0] == _crc16(raw[:-2])
    return intact and raw[0] == ACCOUNT


def read_claims(token: str) -> dict[str, Any]:
    """What a token says; who signed it is the server's business, which handed it out.

    Raises:
        ValueError: it is no token.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not a token")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if isinstance(claims, dict):
        return claims
    raise ValueError("not an object")


def credentials(token: str, key: Key) -> Secret:
    """A user's token and seed in the form of a credentials file."""
    return Secret(
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{key.seed().reveal()}\n------END USER NKEY SEED------\n"
    )


def read_credentials(secret: Secret) -> tuple[str, Key]:
    """A user's token and key out of what `credentials` wrote."""
    lines = secret.reveal().splitlines()
    return lines[1], read_seed(lines[5], USER)


def _encode(raw: bytes) -> str:
    return base64.b32encode(raw + struct.pack("<H", _crc16(raw))).decode().rstrip("=")


def _crc16(raw: bytes) -> int:
    """CRC-16 with the polynomial 0x1021, beginning with 0 (XMODEM)."""
    return binascii.crc_hqx(raw, 0)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
