"""Random lives of sessions and leases, many at a time: the journal always rebuilds the tables."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from sojourn.adapters.sql_store import SqlStore
from sojourn.core import lease, session
from sojourn.core.change import Change, Revocation, RevocationKind, pin
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, SojournError
from sojourn.core.lease import Lease, Residual
from sojourn.core.record import Row, RowKind, Step
from sojourn.core.scope import narrow
from sojourn.core.session import Session
from sojourn.core.window import Window
from tests.rig.store import SECOND, START, a_lease, a_session

pytestmark = pytest.mark.anyio

KILLED = Cause(Reason.KILLED, "ops", "")
PAUSED = Cause(Reason.SUSPENDED, "ops", "lunch")

SESSION_MOVES: tuple[Callable[[Session, datetime], Step[Session]], ...] = (
    lambda s, now: session.approve(s, "charter", now),
    session.activate,
    session.activate,
    lambda s, now: session.suspend(s, PAUSED, now),
    session.resume,
    session.renew,
    lambda s, now: session.narrow(s, s.grants, Window(s.window.opens, s.window.closes - SECOND), now),
    lambda s, now: session.narrow(s, narrow(s.grants, ["shop"]), s.window, now),
    session.finish_end,
)
FAIR = ("no_renewal_left", "unknown_grant", "window_closed")
SESSIONS = 12
# Lives that end at once have little to tell.
ENDS = 0.06
LEASE_MOVES: tuple[Callable[[Lease, datetime], Step[Lease]], ...] = (
    lambda held, now: lease.issued(held, "oid-1", now),
    lambda held, now: lease.settle(held, None, now),
    lambda held, now: lease.located(held, "oid-2", now),
    lambda held, now: lease.frozen(held, "pg_authid", now),
    lambda held, now: lease.thaw(held, now + SECOND, now),
    lease.begin_destroy,
    lambda held, now: lease.stuck(held, Residual("shop-db", None, "own_team"), now),
    lambda held, now: lease.destroyed(held, "pg_authid", now + 9 * SECOND, now + 9 * SECOND),
)


@dataclass(slots=True)
class Walk:
    """One walker: a few sessions that others walk too, and its own dice."""

    store: SqlStore
    dice: random.Random
    known: dict[str, int] = field(default_factory=dict)  # the highest version answered

    async def step(self) -> None:
        """Read, decide, commit; what the core or the store refuses is part of life."""
        now = START + self.dice.randrange(600) * SECOND
        held = await self.store.session(a_session(self.dice.randrange(SESSIONS)).id)
        if held is None:
            return
        leases = await self.store.leases(held.id)
        try:
            change = self._decide(held, list(leases), now)
            await self.store.commit(change)
        except SojournError as error:
            if not isinstance(error, Conflict) and error.code not in FAIR:
                raise
            return
        for step in change.steps:
            assert self.known.get(step.row.id, 0) < step.row.version or not step.facts
            self.known[step.row.id] = step.row.version

    def _decide(self, held: Session, leases: list[Lease], now: datetime) -> Change:
        steps: list[Step[Row]] = []
        if leases and self.dice.random() < 0.5:
            steps.append(self.dice.choice(LEASE_MOVES)(self.dice.choice(leases), now))
        if not steps or self.dice.random() < 0.4:
            moved = self._move(held, now)
            if self.dice.random() < 0.2:
                moved = moved.then(self._move(moved.row, now))
            steps.append(moved)
        if len(leases) < 4 and self.dice.random() < 0.2:
            steps.append(lease.plan(a_lease(self.dice.getrandbits(40), held), now))
        pins = () if any(s.row.id == held.id for s in steps) else (pin(RowKind.SESSION, held),)
        ending = any(step.row.version and step.facts for step in steps[:1]) and self.dice.random() < 0.3
        gone = (Revocation(RevocationKind.SESSION, held.id, held.generation, now),) if ending else ()
        return Change(steps=tuple(steps), pins=pins, revocations=gone, ending=ending)

    def _move(self, held: Session, now: datetime) -> Step[Session]:
        if self.dice.random() < ENDS:
            return session.begin_end(held, KILLED, now)
        return self.dice.choice(SESSION_MOVES)(held, now)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_after_any_walk_the_journal_rebuilds_the_tables(store: SqlStore, seed: int) -> None:
    print(f"seed {seed}")
    for number in range(SESSIONS):
        elders = (a_session(0).id,) if number > 3 else ()
        await store.commit(Change(steps=(session.request(a_session(number, ancestors=elders)),)))
    walks = [Walk(store, random.Random(f"{seed}-{walker}")) for walker in range(8)]

    async def life(walk: Walk) -> None:
        for _ in range(60):
            await walk.step()

    await asyncio.gather(*(life(walk) for walk in walks))

    assert await store.replay_differences() == []
    head = await store.head()
    assert head.journal_size > 50
    assert head.feed_n > 0
