"""How much a session has used, against its budget: chunks are reserved before they are used.

A chunk counts as spent from the moment it is reserved; what was not used of it is given back
with its report, and a chunk that nobody reports in time stays spent. So a budget is never
exceeded, whoever crashes. A family has one account: that of its root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sojourn.core.charter import Budget
from sojourn.core.ids import SessionId
from sojourn.core.session import Session

METRICS = ("calls", "rows", "bytes", "cost")
FAILED_FROM = 400
"""The HTTP status from which on a call counts as failed."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Uses by metric."""

    calls: int = 0
    rows: int = 0
    bytes: int = 0
    cost: int = 0

    def of(self, metric: str) -> int:
        """The amount of one metric."""
        found: int = getattr(self, metric)
        return found

    def each(self) -> Mapping[str, int]:
        """Every metric with its amount."""
        return {metric: self.of(metric) for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A reserved part of a budget, in the hands of one guard until it reports or time is up."""

    id: str
    account: SessionId
    holder: str
    amounts: Amounts
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Use:
    """What a guard reports: of a chunk, or without one where nothing is limited."""

    session: SessionId
    account: SessionId
    holder: str
    used: Amounts
    chunk: str | None = None
    actions: Mapping[str, int] = field(default_factory=dict)  # `audience action`
    failed: int = 0  # calls that the guarded API answered with an error


@dataclass(frozen=True, slots=True)
class Usage:
    """The account of a family, and what one session of it exercised."""

    spent: Amounts = Amounts()
    open_chunks: int = 0
    actions: Mapping[str, int] = field(default_factory=dict)
    used_at: datetime | None = None
    failed: int = 0  # calls of the family that guarded APIs answered with an error


def account_of(session: Session) -> SessionId:
    """Whose budget it draws on."""
    return session.ancestors[0] if session.ancestors else session.id


def limited(budget: Budget) -> bool:
    """Whether any metric has a limit."""
    return any(getattr(budget, metric) is not None for metric in METRICS)


def allot(budget: Budget, spent: Amounts, wanted: Amounts) -> Amounts:
    """How much of `wanted` the budget still has, metric by metric."""
    left = {metric: _left(budget, spent, metric) for metric in METRICS}
    given = {
        metric: wanted.of(metric) if left[metric] is None else min(wanted.of(metric), left[metric] or 0)
        for metric in METRICS
    }
    return Amounts(**given)


def is_spent(budget: Budget, usage: Usage) -> bool:
    """Whether some metric is used up, and nobody holds a part that may come back."""
    if usage.open_chunks:
        return False
    return any(_left(budget, usage.spent, metric) == 0 for metric in METRICS)


def _left(budget: Budget, spent: Amounts, metric: str) -> int | None:
    limit: int | None = getattr(budget, metric)
    return None if limit is None else max(0, limit - spent.of(metric))
