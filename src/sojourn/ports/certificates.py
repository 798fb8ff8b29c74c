"""Judges certificates that connections showed, by what clients are registered with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol


class Certificates(Protocol):
    """Knows the authorities that may issue client certificates."""

    def match(
        self, rule: Mapping[str, str], der: bytes, now: datetime, *, chain: Sequence[bytes] = ()
    ) -> bool:
        """Whether the certificate is one that `rule` means, and valid; an empty rule means none.

        `chain` is what was shown between it and an authority.
        """
        ...

    def tell(self, der: bytes) -> Mapping[str, str]:
        """What the certificate says of itself: `subject` and `x5t` (RFC 8705, section 3.1)."""
        ...
