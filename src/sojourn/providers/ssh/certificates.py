"""OpenSSH user certificates (PROTOCOL.certkeys): short, for one user, with nothing but what is said.

No certificate of ours allows forwarding, agents or tunnels: they need no session, and what
needs no session passes by the program that could end it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)

from sojourn.core.secret import Secret

BACKDATED: Final = timedelta(seconds=30)
_SERIAL_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class Wish:
    """What a certificate says."""

    key_id: str
    user: str
    serial: int
    now: datetime  # by the host's clock, which will judge it
    until: datetime
    command: str | None
    pty: bool = False


def new_serial() -> int:
    """A serial that tells nothing; never 0, which is none."""
    return secrets.randbits(_SERIAL_BITS) | 1


def certify(authority: Ed25519PrivateKey, public: Ed25519PublicKey, wish: Wish) -> str:
    """A certificate for `public`, as one line."""
    builder = (
        SSHCertificateBuilder()
        .public_key(public)
        .serial(wish.serial)
        .type(SSHCertificateType.USER)
        .key_id(wish.key_id.encode())
        .valid_principals([wish.user.encode()])
        .valid_after(int((wish.now - BACKDATED).timestamp()))
        .valid_before(int(wish.until.timestamp()))
    )
    if wish.command is not None:
        builder = builder.add_critical_option(b"force-command", wish.command.encode())
    if wish.pty:
        builder = builder.add_extension(b"permit-pty", b"")
    return builder.sign(authority).public_bytes().decode()


def private_pem(key: Ed25519PrivateKey) -> Secret:
    """A private key in OpenSSH's own form."""
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode())
