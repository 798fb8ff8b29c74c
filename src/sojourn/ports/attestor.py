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
    client: str = ""  # the name or id of the client it stands for; a key says so by itself
    certificate: bytes | None = None  # DER, as the connection or a trusted proxy showed it
    chain: tuple[bytes, ...] = ()  # DER, what was shown between it and an authority


@dataclass(frozen=True, slots=True)
class Attestation:
    """Who it is, what was observed, and the marks that make the evidence single-use.

    `once` is committed together with whatever the attestation permits, so that two uses of
    the same evidence cannot both succeed. `selectors` are all attested facts, under dotted
    names; `context` are those that the session keeps.
    """

    client: Client
    once: tuple[Once, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    selectors: Mapping[str, str] = field(default_factory=dict)
    identity: frozenset[str] = frozenset()  # facts that no later evidence may change
    pinned: frozenset[str] = frozenset()  # facts that are compared unless a charter says otherwise
    unknown: tuple[str, ...] = ()  # claims that no table lists: reported, never used
    run: str | None = None  # the one run of work it was made for, which opens one session
    lasting: bool = True  # whether such evidence, shown again, says that the work goes on


class Attestor(Protocol):
    """Verifies one kind of evidence."""

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        """Recognise the workload.

        Raises:
            Unauthenticated: code `bad_evidence` (or a narrower one); never says which part
                of a secret was wrong.
            Refused: code `job_finished`; its platform says that the work is over.
            Unavailable: who could say cannot be asked now.
        """
        ...
