"""SPIFFE IDs: `spiffe://TRUST-DOMAIN/PATH`, read strictly (SPIFFE-ID, section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sojourn.core.errors import Invalid

_SCHEME: Final = "spiffe://"
_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """The name of a workload in its trust domain; an empty path names the domain itself."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"

    @staticmethod
    def parse(text: str, *, code: str = "bad_spiffe_id") -> SpiffeId:
        """Read one; there is a single spelling of each.

        Raises:
            Invalid: `code`; a port, a query, an escape, an empty segment, `.` or `..`, a wrong case.
        """
        domain, slash, rest = text.removeprefix(_SCHEME).partition("/")
        segments = rest.split("/") if slash else []
        good = (
            text.startswith(_SCHEME)
            and len(text) <= _LONGEST
            and _DOMAIN.fullmatch(domain) is not None
            and all(_SEGMENT.fullmatch(one) and one not in (".", "..") for one in segments)
        )
        if not good:
            raise Invalid(
                code, f"expected a SPIFFE ID such as `spiffe://example.org/ci/deploy`, got `{text[:80]}`"
            )
        return SpiffeId(domain, slash + rest)
