"""What a store remembers of its readings is never behind a write that was answered."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from sojourn.core import charter, client, ids, policy, session
from sojourn.core.change import Beat, Change, Revocation, RevocationKind
from sojourn.core.client import Client
from sojourn.core.ending import Cause, Reason
from sojourn.core.ids import ClientId
from sojourn.core.kill import Kill, KillState, Selector, Selects, order
from sojourn.core.policy import PolicySet
from sojourn.ports.store import KillFilter, Rules, Store
from tests.rig.store import SECOND, START, a_charter, a_client, a_session, an_id

pytestmark = pytest.mark.anyio
HOLDS_OF_EVERY_STORE = True


async def test_a_client_that_was_read_before_is_read_as_it_stands(store: Store) -> None:
    known = a_client()
    assert await store.client(known.id) is None
    await store.commit(Change(steps=(client.register(known),)))
    assert await store.client(known.id) == known

    gone = client.remove(known, START)
    await store.commit(Change(steps=(gone,)))

    assert await store.client(known.id) == gone.row


async def test_charters_rules_and_orders_are_read_as_they_stand(store: Store) -> None:
    newest = KillFilter(after_n=0)
    assert await store.charter("demo") is None
    assert await store.rules() == Rules(0, 0)
    assert not await store.kills(newest)
    cause, owner = Cause(Reason.KILLED, "ops"), Selector(Selects.OWNER, "own_team")
    kill = Kill(ids.KillId(an_id(ids.KILL, 1)), 1, KillState.ORDERED, owner, cause, START)

    first, second = a_charter(1), replace(a_charter(2), number=2)
    await store.commit(Change(steps=(charter.apply(first),)))
    assert await store.charter("demo") == first
    await store.commit(Change(steps=(charter.apply(second),)))
    applied = PolicySet(ids.PolicyId(an_id(ids.POLICY, 1)), 1, 1, "// one", START, "ada")
    await store.commit(Change(steps=(policy.apply(applied), order(kill))))

    assert await store.charter("demo") == second
    assert await store.charter("demo", 1) == first
    assert await store.rules() == Rules(1, 2)
    assert await store.kills(newest) == [kill]


async def test_a_feed_that_was_quiet_tells_of_the_next_revocation(store: Store) -> None:
    mark = (await store.feed(None, limit=9)).mark
    for _ in range(2):
        assert not (await store.feed(mark, limit=9)).entries

    news = Revocation(RevocationKind.CLIENT, "cli_1", None, START + 600 * SECOND)
    await store.commit(Change(revocations=(news,)))

    assert [entry.id for entry in (await store.feed(mark, limit=9)).entries] == ["cli_1"]


async def test_readers_never_see_less_than_what_was_answered(store: Store) -> None:
    """Writers take turns at a client while readers ask for it all the time."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, known = random.Random(seed), a_client()
    await store.commit(Change(steps=(client.register(known),)))
    answered, busy = known.version, True

    async def read() -> None:
        while busy:
            least = answered
            found = await store.client(known.id)
            assert found is not None and found.version >= least
            await asyncio.sleep(0)

    readers = [asyncio.create_task(read()) for _ in range(4)]
    row: Client = known
    for number in range(30):
        step = client.remove(replace(row, removed_at=None), START + number * SECOND)
        await store.commit(Change(steps=(step,)))
        row, answered = step.row, step.row.version
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    busy = False
    await asyncio.gather(*readers)


async def test_many_reads_at_once_answer_each_its_own(store: Store) -> None:
    people = [a_client(number, f"runner-{number}") for number in range(1, 101)]
    await store.commit(Change(steps=tuple(client.register(one) for one in people)))

    found = await asyncio.gather(*(store.client(one.id) for one in people), store.client(nobody()))

    assert found == [*people, None]


async def test_a_beat_lands_with_its_change_and_never_replaces_a_newer_one(store: Store) -> None:
    held = a_session()
    beat = Beat(held.id, START, START + 30 * SECOND)
    await store.commit(Change(steps=(session.request(held),), beats=(beat,)))
    assert await store.last_beat(held.id) == START

    await store.note_beats([(held.id, START + 5 * SECOND, None)])
    await store.commit(Change(beats=(Beat(held.id, START + SECOND, None),)))

    assert await store.last_beat(held.id) == START + 5 * SECOND


def nobody() -> ClientId:
    """An id that no client has."""
    return ClientId(an_id(ids.CLIENT, 999))
