"""Certificates that connections showed, judged with `jose.certificates` (`ports.certificates`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from sojourn.core.errors import Invalid
from sojourn.jose.certificates import matches, read_certificate

_LONGEST: Final = 256


class ShownCertificates:
    """By the authorities of this server."""

    def __init__(self, authorities: Sequence[x509.Certificate]) -> None:
        self._authorities = tuple(authorities)

    def match(
        self, rule: Mapping[str, str], der: bytes, now: datetime, *, chain: Sequence[bytes] = ()
    ) -> bool:
        """Whether the certificate is one that `rule` means."""
        try:
            return bool(rule) and matches(rule, read_certificate(der, chain), self._authorities, now)
        except Invalid:
            return False

    def tell(self, der: bytes) -> Mapping[str, str]:
        """What it says of itself, in plain text; a subject that is not plain is left out."""
        shown = read_certificate(der)
        subject = shown.parsed.subject.rfc4514_string()
        plain = 0 < len(subject) <= _LONGEST and subject.isprintable()
        return {"x5t": shown.binding.rpartition(":")[2], **({"subject": subject} if plain else {})}
