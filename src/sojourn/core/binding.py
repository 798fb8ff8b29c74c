"""To what a token or a session is bound: a key that signs proofs, or a client's certificate.

One string says which: a bare RFC 7638 thumbprint is a key's (RFC 9449, `jkt`), a thumbprint after
`x5t#S256:` is a certificate's (RFC 8705, `x5t#S256`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

CERTIFICATE: Final = "x5t#S256:"


def of_certificate(der: bytes) -> str:
    """The binding to a certificate (RFC 8705, section 3.1)."""
    digest = hashlib.sha256(der).digest()
    return CERTIFICATE + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_certificate(binding: str) -> bool:
    """Whether it names a certificate."""
    return binding.startswith(CERTIFICATE)


def to_cnf(binding: str) -> dict[str, str]:
    """The claim `cnf` (RFC 7800)."""
    if is_certificate(binding):
        return {"x5t#S256": binding.removeprefix(CERTIFICATE)}
    return {"jkt": binding}


def from_cnf(cnf: object) -> str | None:
    """The binding that a claim `cnf` states; None unless it states exactly one that we know."""
    if not isinstance(cnf, Mapping):
        return None
    key, certificate = cnf.get("jkt"), cnf.get("x5t#S256")
    if isinstance(key, str) and certificate is None and not is_certificate(key):
        return key
    if isinstance(certificate, str) and key is None:
        return CERTIFICATE + certificate
    return None
