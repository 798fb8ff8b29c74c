"""What is counted, read off the journal: a number here is a fact there. No id is ever a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from sojourn.core.ending import Reason
from sojourn.core.errors import Unavailable
from sojourn.core.record import FactKind
from sojourn.core.session import State
from sojourn.faces.http.limits import Places
from sojourn.ports.store import SessionFilter, Store

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60)
_MOST_LOOKED_AT: Final = 500  # sessions on their way out, per look
_BATCH: Final = 1000
_BATCHES: Final = 20  # a look stays short; what is left is read at the next one
_MOST_OPEN: Final = 10_000  # ends whose destruction is awaited


class _Leaf(msgspec.Struct):
    kind: str
    at: str
    session: str | None = None
    body: dict[str, Any] = {}


class Decisions(Protocol):
    """What policies have decided in this process, by action and answer; sets that cannot be read."""

    @property
    def decided(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def unreadable(self) -> int: ...


class _Decided(Collector):
    """Counts that are kept elsewhere, read when somebody asks."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    def collect(self) -> Iterable[Metric]:
        decided = CounterMetricFamily(
            "sojourn_policy_decisions", "Answers of the policies", labels=["action", "answer"]
        )
        for (action, answer), count in sorted(self._decisions.decided.items()):
            decided.add_metric([action, answer], count)
        yield decided
        name, meaning = "sojourn_policy_sets_unreadable", "How often a stored policy set was passed over"
        yield CounterMetricFamily(name, meaning, value=self._decisions.unreadable)


class Meters:
    """The numbers of this process, in a registry of their own."""

    def __init__(self, feed_places: Places, decisions: Decisions | None = None) -> None:
        self.registry: Final = CollectorRegistry()
        if decisions is not None:
            self.registry.register(_Decided(decisions))
        self._opens = Counter("sojourn_opens", "Sessions that became active", registry=self.registry)
        self._unknown_claims = Counter(
            "sojourn_unknown_claims", "Claims of evidence that no table lists", registry=self.registry
        )
        self._ends = Counter("sojourn_ends", "Ends begun, by reason", ["reason"], registry=self.registry)
        self._destroyed = Histogram(
            "sojourn_refused_to_destroyed_seconds",
            "From the end of a session's access to proof that its credentials are gone",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._leaving = Gauge("sojourn_sessions_leaving", "Sessions being taken away", registry=self.registry)
        self._stuck = Gauge(
            "sojourn_leases_stuck", "Leases that a target does not yield", registry=self.registry
        )
        self._glass = Counter(
            "sojourn_break_glass_opens", "Sessions opened by break-glass charters", registry=self.registry
        )
        self._owed = Gauge(
            "sojourn_reviews_owed", "Break-glass sessions that nobody reviewed", registry=self.registry
        )
        self._late = Gauge(
            "sojourn_errand_overdue_seconds", "How long an errand has been due", registry=self.registry
        )
        waiting = Gauge("sojourn_feed_waiters", "Guards waiting for news", registry=self.registry)
        waiting.set_function(lambda: feed_places.taken)
        self._next: int | None = None
        self._refused_at: dict[str, datetime] = {}

    async def look(self, store: Store, now: datetime) -> None:
        """Read what happened since the last look; a store that does not answer leaves the old numbers."""
        try:
            await self._follow(store)
            await self._gauge(store, now)
        except Unavailable:
            return

    async def _follow(self, store: Store) -> None:
        if self._next is None:  # counters begin with this process
            self._next = (await store.head()).journal_size
        for _ in range(_BATCHES):
            entries = await store.journal(self._next, limit=_BATCH)
            for entry in entries:
                self._count(msgspec.json.decode(entry.leaf, type=_Leaf))
            self._next += len(entries)
            if len(entries) < _BATCH:
                return

    def _count(self, leaf: _Leaf) -> None:
        match leaf.kind:
            case FactKind.SESSION_REQUESTED:
                self._unknown_claims.inc(_unknown_claims(leaf))
            case FactKind.SESSION_ACTIVATED:
                self._opens.inc()
            case FactKind.REVIEW_OWED:
                self._glass.inc()
            case FactKind.SESSION_ENDING:
                self._ends.labels(_reason(leaf)).inc()
                if leaf.session is not None and len(self._refused_at) < _MOST_OPEN:
                    self._refused_at[leaf.session] = datetime.fromisoformat(leaf.at)
            case FactKind.SESSION_ENDED:
                began = self._refused_at.pop(leaf.session or "", None)
                if began is not None:
                    self._destroyed.observe((datetime.fromisoformat(leaf.at) - began).total_seconds())
            case _:
                return

    async def _gauge(self, store: Store, now: datetime) -> None:
        due = await store.next_errand_at()
        which = SessionFilter(states=frozenset({State.REVOKING}))
        leaving = await store.sessions(which, after=None, limit=_MOST_LOOKED_AT)
        stuck = [lease for one in leaving for lease in await store.leases(one.id) if lease.residual]
        self._late.set(max(0.0, (now - due).total_seconds()) if due else 0.0)
        self._leaving.set(len(leaving))
        self._owed.set(len(await store.reviews(owed=True, limit=_MOST_LOOKED_AT)))
        self._stuck.set(len(stuck))


def _unknown_claims(leaf: _Leaf) -> int:
    named = leaf.body.get("unknown_claims")
    return len(named) if isinstance(named, list) else 0


def _reason(leaf: _Leaf) -> str:
    """One of the closed set; whatever else a leaf says becomes no label."""
    cause = leaf.body.get("cause")
    said = cause.get("reason") if isinstance(cause, dict) else None
    return said if said in {r.value for r in Reason} else "unknown"
