"""How Changes share a transaction: order, numbers, conflicts, floods and a node that is fenced."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from sojourn.adapters import sql_epoch, sql_reads
from sojourn.adapters.commit_group import CommitGroup
from sojourn.adapters.high_water import HighWater
from sojourn.adapters.sql_database import Broken, Database
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.sql_writes import Outcome
from sojourn.core import lease, session
from sojourn.core.change import Change, Once, Revocation, RevocationKind
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Refused, SojournError, Unavailable
from sojourn.ports.store import Head, Mark
from tests.rig.store import SECOND, START, Place, a_lease, a_session, opened

pytestmark = pytest.mark.anyio

T = TypeVar("T")
KILLED = Cause(Reason.KILLED, "ops", "")


class Counting:
    """A database that counts its commits."""

    def __init__(self, database: Database) -> None:
        self.inner = database
        self.commits = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.inner.read(work)

    async def snapshot(self, work: Callable[[Connection], T]) -> T:
        return await self.inner.snapshot(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.commits += 1
        return await self.inner.write(work)

    async def close(self) -> None:
        await self.inner.close()


def watched(store: SqlStore) -> Counting:
    """Count the commits of `store` from here on."""
    counting = Counting(store._database)
    store._database = counting
    return counting


def an_open(number: int) -> Change:
    requested = session.request(a_session(number))
    return Change(steps=(requested, lease.plan(a_lease(number, requested.row), START)))


async def together(store: SqlStore, changes: Sequence[Change]) -> list[Head | BaseException]:
    return await asyncio.gather(*(store.commit(change) for change in changes), return_exceptions=True)


async def test_numbers_have_no_gaps_and_follow_the_commits(store: SqlStore) -> None:
    held = await opened(store)
    changes = [
        Change(
            steps=(lease.plan(a_lease(n, held), START),),
            revocations=(Revocation(RevocationKind.SESSION, f"ses_{n}", None, START),),
        )
        for n in range(64)
    ]

    heads = await together(store, changes)

    assert all(isinstance(head, Head) for head in heads)
    journal = [json.loads(entry.leaf) for entry in await store.session_journal(held.id)]
    assert [leaf["number"] for leaf in journal] == list(range(1, 67))
    assert [leaf["index"] for leaf in journal] == list(range(66))
    page = await store.feed(Mark(1, 0), limit=100)
    assert [entry.n for entry in page.entries] == list(range(1, 65))
    assert sorted(head.feed_n for head in heads if isinstance(head, Head)) == list(range(1, 65))
    by_feed = {entry.n: entry.id for entry in page.entries}
    assert all(by_feed[head.feed_n] == f"ses_{n}" for n, head in enumerate(heads) if isinstance(head, Head))
    assert await store.replay_differences() == []


async def test_the_end_of_a_session_states_how_many_facts_it_has(store: SqlStore) -> None:
    held = await opened(store)
    ending = session.begin_end(held, KILLED, START)
    await store.commit(Change(steps=(ending.then(session.finish_end(ending.row, START)),), ending=True))

    last = json.loads((await store.session_journal(held.id))[-1].leaf)

    assert last["kind"] == "session.ended"
    assert last["body"]["count"] == last["number"] == 4


async def test_a_thousand_opens_from_64_callers_share_their_commits(store: SqlStore) -> None:
    counting = watched(store)
    numbers = itertools.count(1)

    async def caller() -> None:
        while (number := next(numbers)) <= 1000:
            await store.commit(an_open(number))

    await asyncio.gather(*(caller() for _ in range(64)))

    assert (await store.head()).journal_size == 2000
    assert counting.commits <= 1000 / 16


async def test_of_two_changes_on_one_row_the_second_is_judged_after_the_first(store: SqlStore) -> None:
    held = await opened(store)
    counting = watched(store)
    wins, loses = session.activate(held, START), session.begin_end(held, KILLED, START)

    first, second = await together(store, [Change(steps=(wins,)), Change(steps=(loses,))])

    assert isinstance(first, Head)
    assert isinstance(second, Conflict)
    assert second.code == "stale"
    assert counting.commits == 2


async def test_an_ending_lands_before_what_came_earlier(store: SqlStore) -> None:
    held = await opened(store)
    ending = Change(steps=(session.begin_end(held, KILLED, START),), ending=True)

    activated, ended = await together(store, [Change(steps=(session.activate(held, START),)), ending])

    assert isinstance(ended, Head)
    assert isinstance(activated, Conflict)


async def test_a_stale_change_does_not_hold_up_its_batch(store: SqlStore) -> None:
    held = await opened(store)
    stale = replace(session.activate(held, START), read_version=1)
    counting = watched(store)

    outcomes = await together(store, [an_open(2), Change(steps=(stale,)), an_open(3)])

    assert [type(outcome) for outcome in outcomes] == [Head, Conflict, Head]
    assert counting.commits == 1


async def test_a_batch_that_the_database_refuses_is_landed_singly(store: SqlStore) -> None:
    await store.commit(an_open(1))
    same_handle = a_lease(9, a_session(2), handle=a_lease(1, a_session()).handle)
    guilty = Change(steps=(session.request(a_session(2)), lease.plan(same_handle, START)))
    counting = watched(store)

    outcomes = await together(store, [an_open(3), guilty, an_open(4)])

    assert [type(outcome) for outcome in outcomes] == [Head, Conflict, Head]
    assert counting.commits == 4
    assert await store.replay_differences() == []


async def test_a_cancelled_caller_does_not_break_the_batch(store: SqlStore) -> None:
    callers = [asyncio.create_task(store.commit(an_open(number))) for number in range(1, 9)]
    await asyncio.sleep(0)

    callers[3].cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(outcomes[3], asyncio.CancelledError)
    assert sum(isinstance(outcome, Head) for outcome in outcomes) == 7
    assert isinstance(await store.commit(an_open(20)), Head)


async def test_two_uses_of_a_mark_in_one_batch_are_judged_one_after_the_other(store: SqlStore) -> None:
    use = Once("jti", "a", START + SECOND)

    outcomes = await together(store, [Change(once=(use,)), Change(once=(use,))])

    assert [type(outcome) for outcome in outcomes] == [Head, Refused]


async def test_a_new_epoch_fences_the_nodes_of_the_old_one(store: SqlStore) -> None:
    await store.commit(an_open(1))
    await store._database.write(lambda connection: sql_epoch.begin_epoch(connection, 2))

    with pytest.raises(Unavailable) as refusal:
        await store.commit(an_open(2))
    with pytest.raises(Unavailable):
        await store.seal(1, {}, "note")
    with pytest.raises(Unavailable) as asked:
        await store.head()  # a beat asks for it, and would sign a token of the new epoch

    assert (refusal.value.code, asked.value.code) == ("fenced", "fenced")
    assert await store._database.read(sql_reads.head) == Head(2, 2, 0)


async def test_a_database_behind_its_high_water_begins_a_new_epoch(
    place: Place, tmp_path_factory: object
) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    high_water = HighWater(tmp_path_factory.mktemp("keys") / "high-water")
    store = await place.open(high_water=high_water)
    await store.commit(an_open(1))
    await store.seal(2, {}, "note of 2")
    await store.close()

    store = await place.open(high_water=high_water)
    assert (await store.head()).epoch == 1
    await store.close()
    high_water.raise_to(Head(4, 99, 0))
    store = await place.open(high_water=high_water)

    assert (await store.head()).epoch == 5
    assert isinstance(await store.commit(an_open(2)), Head)
    await store.close()


# -- the queue itself, without a database ---------------------------------------------------


async def test_a_flood_is_refused_but_endings_have_places_of_their_own() -> None:
    gate = asyncio.Event()

    async def slow(changes: Sequence[Change]) -> list[Outcome]:
        await gate.wait()
        return [Head(1, 0, 0) for _ in changes]

    group = CommitGroup(slow, most_waiting=2)
    callers = [asyncio.create_task(group.submit(Change()))]
    for _ in range(3):
        await asyncio.sleep(0)
    callers += [asyncio.create_task(group.submit(Change())) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Unavailable) as refusal:
        await group.submit(Change())
    callers.append(asyncio.create_task(group.submit(Change(ending=True))))
    gate.set()

    assert refusal.value.code == "overloaded"
    assert await asyncio.gather(*callers) == [Head(1, 0, 0)] * 4
    await group.close()


@pytest.mark.parametrize("failure", [Broken("disk I/O error"), OSError("a fault of ours")])
async def test_after_the_disk_failed_nothing_more_is_written(failure: Exception) -> None:
    calls = []

    async def failing(changes: Sequence[Change]) -> list[Outcome]:
        calls.append(changes)
        raise failure

    group = CommitGroup(failing)
    for _ in range(2):
        with pytest.raises(SojournError) as refusal:
            await group.submit(Change())
        assert refusal.value.code == "store_unavailable"

    assert len(calls) == 1
    if isinstance(failure, Broken):
        await group.close()
    else:
        with pytest.raises(OSError, match="a fault of ours"):
            await group.close()
