"""What may be said of a secret in a log: enough to find it again, nothing to use."""

from __future__ import annotations

import hashlib


def fingerprint(secret: str | bytes) -> str:
    """The first 16 hex digits of its SHA-256."""
    octets = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    return hashlib.sha256(octets).hexdigest()[:16]
