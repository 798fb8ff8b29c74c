"""Evidence from a workload in, an attestation out, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sojourn.core.change import Once
from sojourn.core.client import Client


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a workload presents to be recognised (RFC 9334)."""

    type: str
    assertion: str


@dataclass(frozen=True, slots=True)
class Attestation:
    """Who it is, what was observed, and the marks that make the evidence single-use.

    `once` is committed together with whatever the attestation permits, so that two uses of
    the same evidence cannot both succeed.
    """

    client: Client
    once: tuple[Once, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    selectors: Mapping[str, str] = field(default_factory=dict)  # every observed fact, for charters


class Attestor(Protocol):
    """Verifies one kind of evidence."""

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """Recognise the workload.

        Raises:
            Unauthenticated: code `bad_evidence` (or a narrower one); never says which part
                of a secret was wrong.
        """
        ...
