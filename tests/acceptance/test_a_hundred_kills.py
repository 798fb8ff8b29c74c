"""Kill a session whose workload never stops writing: judged by the target's own clock and by OID."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pytest

from sojourn.client.jsonfacts import text
from sojourn.core.window import parse
from tests.acceptance.books import GRANT, last_line, left_of, oid_of, with_books
from tests.acceptance.writers import Writers
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running

LATEST_WRITE: Final = timedelta(seconds=2)
MEDIAN_DESTROY_MS: Final = 100.0


@dataclass(frozen=True, slots=True)
class Kill:
    """What was seen of one kill."""

    oid: int
    refused_at: datetime
    last_write: datetime
    destroyed_at: datetime
    tried_after: int

    @property
    def destroy_ms(self) -> float:
        """From the commit of the end to the observed absence."""
        return (self.destroyed_at - self.refused_at) / timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system whose target is written to."""
    with running(postgres) as system:
        with_books(system)
        yield system


@pytest.mark.timed
def test_no_write_lands_later_than_two_seconds_after_a_kill(system: System) -> None:
    judge(system, [kill_one(system) for _ in range(10)])


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.timeout(900)
def test_a_hundred_kills_leave_no_survivor(system: System) -> None:
    judge(system, [kill_one(system) for _ in range(100)])


def kill_one(system: System) -> Kill:
    """Open, let six threads write, kill, and go on writing until the end is proven."""
    live = system.open("kills", grants=[GRANT])
    credential = live.credentials[0]
    handle = credential.connection["user"]
    oid = oid_of(system, handle)
    with Writers(credential) as writers:
        until(writers.all_writing, within_s=10)
        system.end(live.id)
        refused = sum(writers.refused)
        ended = system.look(live.id, until_ended_s=20)
        assert ended.state == "ended"
        # They go on for as long as a late write would count, or until all were turned away again.
        until(lambda: sum(writers.refused) >= refused + 30, within_s=10)
    lease = system.leases(live.id)[0]
    last = last_line(system, handle)
    assert last is not None
    times = parse(text(lease, "refused_at")), last, parse(text(lease, "destroyed_at"))
    return Kill(oid, *times, sum(writers.refused) - refused)


def judge(system: System, kills: list[Kill]) -> None:
    """Nobody survived, nobody wrote late, and it was quick."""
    late = max(kill.last_write - kill.refused_at for kill in kills)
    took = [kill.destroy_ms for kill in kills]
    median = statistics.median(took)
    print(f"{len(kills)} kills: last write {late / timedelta(milliseconds=1):.1f} ms after the end at most;")
    print(f"destroyed after {median:.1f} ms (median), {max(took):.1f} ms (longest)")

    assert left_of(system, [kill.oid for kill in kills]) == 0
    assert late <= LATEST_WRITE
    assert median < MEDIAN_DESTROY_MS
    assert all(kill.tried_after for kill in kills)
