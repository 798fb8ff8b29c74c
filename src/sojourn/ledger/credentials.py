"""What became of each credential of a session, derived from its facts and from nothing else.

Builder and verifier call the same function, so a summary cannot say more than the facts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from sojourn.ledger.canonical import JsonObject
from sojourn.ledger.errors import LedgerError, quote
from sojourn.ledger.instants import read_instant, show_instant
from sojourn.ledger.leaf import LeafRecord
from sojourn.ledger.shape import text_of, text_or_null

_CLASSES: Final = frozenset("ABCD")


class Kind(StrEnum):
    """The kinds of fact that a bundle is read by; others are passed over."""

    REQUESTED = "session.requested"
    ENDING = "session.ending"
    ENDED = "session.ended"
    PLANNED = "lease.planned"
    DESTROYED = "lease.destroyed"
    STUCK = "lease.stuck"


@dataclass(frozen=True, slots=True)
class Residual:
    """What could not be taken back: where it is, until when, and who answers for it."""

    place: str
    until: datetime | None
    owner: str

    def to_json(self) -> JsonObject:
        """The residual as a JSON object."""
        until = None if self.until is None else show_instant(self.until)
        return {"place": self.place, "until": until, "owner": self.owner}


@dataclass(frozen=True, slots=True)
class Credential:
    """One downstream credential, from its planning to its end.

    `refused_at` is when the session's end was decided; `destroyed_at` when absence was observed.
    """

    lease: str
    target: str
    handle: str
    revocation_class: str
    planned_at: datetime
    refused_at: datetime | None = None
    destroyed_at: datetime | None = None
    method: str | None = None
    residual: tuple[Residual, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether its outcome is known: destroyed, or left over with an owner."""
        return self.destroyed_at is not None or bool(self.residual)

    def to_json(self) -> JsonObject:
        """The line of the summary; the planning is in the facts."""
        return {
            "lease": self.lease,
            "target": self.target,
            "handle": self.handle,
            "revocation_class": self.revocation_class,
            "refused_at": None if self.refused_at is None else show_instant(self.refused_at),
            "destroyed_at": None if self.destroyed_at is None else show_instant(self.destroyed_at),
            "method": self.method,
            "residual": [left.to_json() for left in self.residual],
        }


@dataclass(slots=True)
class _Derivation:
    refused_at: datetime | None = None
    credentials: dict[str, Credential] = field(default_factory=dict)

    def take(self, fact: LeafRecord) -> None:
        match fact.kind:
            case Kind.ENDING:
                # The first cause wins; a later one changes nothing.
                self.refused_at = self.refused_at or fact.at
            case Kind.PLANNED:
                self._plan(fact)
            case Kind.DESTROYED:
                self._destroy(fact)
            case Kind.STUCK:
                self._leave(fact)
            case _:
                return

    def _plan(self, fact: LeafRecord) -> None:
        body = fact.body
        planned = Credential(
            lease=text_of(body, "lease"),
            target=text_of(body, "target"),
            handle=text_of(body, "handle"),
            revocation_class=text_of(body, "class"),
            planned_at=fact.at,
        )
        if planned.revocation_class not in _CLASSES:
            raise LedgerError("bad_facts", f"expected class A to D, got {quote(planned.revocation_class)}")
        if planned.lease in self.credentials:
            raise LedgerError("bad_facts", f"lease {quote(planned.lease)} is planned twice")
        self.credentials[planned.lease] = planned

    def _destroy(self, fact: LeafRecord) -> None:
        lease = self._planned(fact)
        if lease.destroyed_at is not None:
            raise LedgerError("bad_facts", f"lease {quote(lease.lease)} is destroyed twice")
        # Observed absent, so what an earlier attempt had to leave behind is gone as well.
        self.credentials[lease.lease] = replace(
            lease,
            destroyed_at=read_instant(fact.body.get("observed_at")),
            method=text_of(fact.body, "method"),
            residual=(),
        )

    def _leave(self, fact: LeafRecord) -> None:
        lease = self._planned(fact)
        until = text_or_null(fact.body, "until")
        left = Residual(
            place=text_of(fact.body, "place"),
            until=None if until is None else read_instant(until),
            owner=text_of(fact.body, "owner"),
        )
        others = tuple(other for other in lease.residual if other.place != left.place)
        self.credentials[lease.lease] = replace(lease, residual=(*others, left))

    def _planned(self, fact: LeafRecord) -> Credential:
        lease = self.credentials.get(text_of(fact.body, "lease"))
        if lease is None:
            raise LedgerError("bad_facts", f"fact {fact.number} speaks of a lease that was never planned")
        return lease


def derive(facts: Iterable[LeafRecord]) -> tuple[Credential, ...]:
    """What became of each credential, in the order of planning, by the facts in number order.

    Unknown kinds and further members of a body are passed over.

    Raises:
        LedgerError: codes `bad_facts` (they contradict each other), `bad_shape`, `bad_instant`.
    """
    derivation = _Derivation()
    for fact in facts:
        derivation.take(fact)
    return tuple(
        replace(credential, refused_at=derivation.refused_at)
        for credential in derivation.credentials.values()
    )
