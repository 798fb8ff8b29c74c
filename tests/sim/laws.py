"""What must hold at every commit, and what must hold when everything is quiet.

The laws look at the store and at the targets themselves, as nobody in the system can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sojourn.core.change import Change, ErrandKind
from sojourn.core.ids import SessionId
from sojourn.core.lease import Lease, LeaseState
from sojourn.core.record import Fact, FactKind, Row, RowKind, apply
from sojourn.core.replay import replay
from sojourn.core.session import LEAVING, Session, State
from sojourn.core.target import Target
from sojourn.core.window import from_micros
from sojourn.ports.clock import Clock
from sojourn.testing.fakes import FakeTarget
from sojourn.testing.memory_store import MemoryStore

_TYPES: Final = {RowKind.SESSION: Session, RowKind.LEASE: Lease}


class LawBroken(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A token that was handed out."""

    sid: str
    generation: int
    expires_at: datetime


class RecordingSigner:
    """Signs nothing, and remembers every token."""

    kid = "sim"

    def __init__(self) -> None:
        self.shown: list[Shown] = []

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """Remember what the token says."""
        sid, generation, expires = claims["sid"], claims["gen"], claims["exp"]
        assert isinstance(sid, str) and isinstance(generation, int) and isinstance(expires, int)
        self.shown.append(Shown(sid, generation, from_micros(expires * 1_000_000)))
        return "token"

    def public_keys(self) -> tuple[Mapping[str, str], ...]:
        """None."""
        return ()


class Laws:
    """Watches every commit."""

    def __init__(
        self, store: MemoryStore, targets: Mapping[str, FakeTarget], signer: RecordingSigner, clock: Clock
    ) -> None:
        self._store = store
        self._targets = targets
        self._signer = signer
        self._clock = clock
        self._replayed: dict[tuple[RowKind, str], Row] = {}
        self._feed_n = 0
        self._revoked: dict[str, list[tuple[int | None, datetime]]] = {}
        self.broken: list[LawBroken] = []
        self.seen: set[str] = set()  # what was reached, so that a law never holds for want of cases

    def after_commit(self, change: Change) -> None:
        """Every law that must hold in between; what is broken is told when all is quiet, too.

        The commit may be that of a task whose errors nobody reads.
        """
        try:
            self._check(change)
        except LawBroken as error:
            self.broken.append(error)
            raise

    def _check(self, change: Change) -> None:
        self._replay(change)
        self._number(change)
        touched = {fact.session for step in change.steps for fact in step.facts if fact.session}
        for session_id in sorted(touched):
            self._family_is_whole(session_id)
        if any(isinstance(step.row, Session) for step in change.steps):
            for session in self._store.all_sessions():
                self._within_its_parent(session)
        for step in change.steps:
            for fact in step.facts:
                self.seen.add(fact.kind)
                self._truth(fact, step.row)

    def _replay(self, change: Change) -> None:
        for step in change.steps:
            for fact in step.facts:
                key = (fact.row, fact.id)
                known = self._replayed.get(key)
                if known is None:
                    self._replayed[key] = type(step.row)(**fact.changes)
                    continue
                after = apply(known, fact.changes)
                _law(after.version == known.version + 1, f"{fact.kind}: one fact, one version")
                self._first_cause_wins(known, after)
                self._replayed[key] = after
            if step.facts:
                key = (step.facts[0].row, step.row.id)
                _law(self._replayed[key] == self._store.rows[key], f"replay rebuilds {key}")

    def _first_cause_wins(self, before: Row, after: Row) -> None:
        if isinstance(before, Session) and isinstance(after, Session) and before.state in LEAVING:
            _law(after.state in LEAVING, "a session that is leaving never comes back")
            _law(after.cause == before.cause, "the first cause wins")

    def _number(self, change: Change) -> None:
        for offset, revocation in enumerate(change.revocations, start=1):
            entry = self._store.revocations[
                len(self._store.revocations) - len(change.revocations) + offset - 1
            ]
            _law(entry == (self._feed_n + offset, revocation), "the feed is numbered without gaps")
            self._revoked.setdefault(revocation.id, []).append(
                (revocation.min_generation, revocation.keep_until)
            )
        self._feed_n += len(change.revocations)

    def _family_is_whole(self, session_id: SessionId) -> None:
        session = self._store.rows.get((RowKind.SESSION, session_id))
        assert isinstance(session, Session)
        leases = self._store.all_leases(session_id)
        alive = [lease for lease in leases if lease.state is not LeaseState.DESTROYED]
        if session.state is State.ENDED:
            _law(not alive, "ended means that every lease is destroyed")
        if session.state is State.REVOKING:
            _law(bool(alive), "a session that is leaving has a lease that keeps it")
            _law(all(one.state is LeaseState.DESTROYING for one in alive), "an end takes every lease with it")
        for lease in alive:
            if lease.state is LeaseState.DESTROYING:
                held = any(
                    one.errand.lease == lease.id and one.errand.kind is ErrandKind.DESTROY
                    for one in self._store.errands.values()
                )
                _law(held, "a lease being destroyed has an errand")
        if session.state in LEAVING:
            self._every_token_is_refused(session)

    def _within_its_parent(self, child: Session) -> None:
        if not child.ancestors or child.state in LEAVING:
            return
        parent = self._store.rows[RowKind.SESSION, child.ancestors[-1]]
        assert isinstance(parent, Session)
        _law(parent.state not in LEAVING, "a child does not outlive its parent")
        _law(child.grants.within(parent.grants), "a child holds no more than its parent")
        _law(child.window.closes <= parent.window.closes, "a child's window lies within its parent's")
        if child.state is State.ACTIVE:
            _law(parent.state is State.ACTIVE, "an active child has an active parent")

    def _every_token_is_refused(self, session: Session) -> None:
        entries = self._revoked.get(session.id, [])
        for token in self._signer.shown:
            if token.sid == session.id:
                refused = any(least is None and keep >= token.expires_at for least, keep in entries)
                _law(refused, "no token is accepted after its session was refused")

    def _proof_is_of_it(self, fact: Fact, lease: Lease) -> None:
        """A look that left before the credential came to exist proves nothing about it."""
        looked_at = fact.notes["observed_at"]
        assert isinstance(looked_at, datetime)
        known = self._targets[lease.target_name].accounts.values()
        later = [one for one in known if one.handle == lease.handle and one.made_at > looked_at]
        _law(not later, f"absence was observed after the last issue landed: {later}")

    def _truth(self, fact: Fact, row: Row) -> None:
        if not isinstance(row, Lease):
            return
        kind = fact.kind
        accounts = [
            one
            for one in self._targets[row.target_name].living()
            if one.handle == row.handle or one.target_id == row.target_ref
        ]
        if row.state is LeaseState.DESTROYED and kind is FactKind.LEASE_DESTROYED:
            _law(not accounts, f"destroyed means gone: {accounts}")
            self._proof_is_of_it(fact, row)
        if kind is FactKind.LEASE_NARROWED:
            target = self._store.rows[RowKind.TARGET, row.target]
            assert isinstance(target, Target)
            less = target.templates[row.template].items()
            wide = [one for one in accounts if not one.template.items() <= less]
            _law(not wide, f"narrowed means that nothing beyond `{row.template}` is left: {wide}")
        if kind is FactKind.LEASE_FROZEN:
            usable = [one for one in accounts if one.login or one.connections]
            _law(not usable, f"frozen means unusable: {usable}")

    def when_quiet(self) -> None:
        """Every law that must hold once faults are healed and the errands are done."""
        if self.broken:
            raise self.broken[0]
        for session in self._store.all_sessions():
            _law(session.state is State.ENDED, f"session {session.id} is stuck in {session.state}")
            self._family_is_whole(session.id)
        _law(not self._store.errands, f"errands are left: {list(self._store.errands.values())[:3]}")
        for name, target in self._targets.items():
            _law(not target.living(), f"{name} holds orphans: {target.living()}")
            _law(all(count == 1 for count in target.sent.values()), "a handle is sent at most once")
        _law(replay(self._store.facts) == self._store.rows, "the whole journal rebuilds every row")
        for token in self._signer.shown:
            entries = self._revoked.get(token.sid, [])
            refused = any(least is None and keep >= token.expires_at for least, keep in entries)
            _law(refused, "a token outlives what refuses it")


def _law(holds: bool, what: str) -> None:
    if not holds:
        raise LawBroken(what)
