"""Many at once on one PostgreSQL, by two nodes: a child is there and ends with its parent, or is not.

The figure of rounds is small by default; the slow test runs a hundred.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.config import Settings
from sojourn.core.change import Change
from sojourn.core.charter import Charter, ChildRule, apply
from sojourn.core.client import register
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Refused
from sojourn.core.ids import CLIENT, SESSION, ClientId, SessionId, from_uuid
from sojourn.core.scope import Grants
from sojourn.core.session import LEAVING, Session, State, activate, approve, request
from sojourn.core.window import Window
from sojourn.services.end_session import EndSession
from sojourn.services.narrow_session import NarrowSession
from sojourn.services.open_child import ChildRequest, OpenChild
from tests.rig.store import Place, a_charter, a_client, a_session, new_database

pytestmark = pytest.mark.anyio

AT_ONCE = 200
FAN_OUT = 40
SETTINGS = Settings("http://race")
KILL = Cause(Reason.KILLED, "ops")


class Node:
    """The services that meet in these races, over a connection of their own."""

    def __init__(self, store: SqlStore) -> None:
        clock, entropy = SystemClock(), SystemEntropy()
        self.store = store
        self.open_child = OpenChild(store, clock, entropy, SETTINGS)
        self.end = EndSession(store, clock, entropy, SETTINGS)
        self.narrow = NarrowSession(store, clock, entropy, SETTINGS)

    async def child(self, parent: Session, number: int) -> str:
        """Ask for a child; what came of it, in a word."""
        try:
            await self.open_child(parent.id, parent.key, ChildRequest(f"key-{number}"))
        except (Refused, Conflict) as error:
            return error.code
        return "opened"


async def a_parent(store: SqlStore) -> Session:
    now, entropy = SystemClock().now(), SystemEntropy()
    drawn = a_session()
    session = replace(
        drawn,
        id=SessionId(from_uuid(SESSION, entropy.uuid7())),
        client=ClientId(from_uuid(CLIENT, entropy.uuid7())),
        grants=Grants(audiences=drawn.grants.audiences),
        window=Window(now, now + (drawn.window.closes - drawn.window.opens)),
        last_end=now + (drawn.last_end - drawn.window.opens),
        activate_by=now + (drawn.activate_by - drawn.window.opens),
        requested_at=now,
    )
    step = request(session)
    step = step.then(approve(step.row, "charter", now))
    step = step.then(activate(step.row, now))
    await store.commit(Change(steps=(step,)))
    return step.row


async def furnish(store: SqlStore) -> None:
    charter: Charter = replace(a_charter(), children=ChildRule(depth=2, fan_out=FAN_OUT))
    await store.commit(Change(steps=(register(a_client()), apply(charter))))


async def races(server: str, rounds: int) -> Counter[str]:
    place = Place("postgresql", dsn=await new_database(server))
    first, second = await place.open(), await place.open()
    try:
        await furnish(first)
        told: Counter[str] = Counter()
        for _ in range(rounds):
            told += await _open_against_kill(Node(first), Node(second))
            told += await _more_than_the_charter_allows(Node(first), Node(second))
            told += await _open_against_narrow(Node(first), Node(second))
        assert await first.replay_differences() == []
        return told
    finally:
        await first.close()
        await second.close()


async def _open_against_kill(one: Node, other: Node) -> Counter[str]:
    parent = await a_parent(one.store)
    asks = [(one if n % 2 else other).child(parent, n) for n in range(AT_ONCE)]
    killer = asyncio.create_task(_killed_soon(other, parent))
    told = Counter(await asyncio.gather(*asks))
    await killer
    family = await one.store.family(parent.id)
    assert all(member.state in LEAVING for member in family), "a child outlived its parent"
    assert len(family) == 1 + told["opened"]
    assert set(told) <= {"opened", "session_ended", "too_many_children", "stale"}
    return Counter({f"kill: {word}": count for word, count in told.items()})


async def _killed_soon(node: Node, parent: Session) -> None:
    while len(await node.store.family(parent.id)) < 3:
        await asyncio.sleep(0)
    await node.end(parent.id, KILL)


async def _more_than_the_charter_allows(one: Node, other: Node) -> Counter[str]:
    parent = await a_parent(one.store)
    asks = [(one if n % 2 else other).child(parent, n) for n in range(2 * FAN_OUT)]
    told = Counter(await asyncio.gather(*asks))
    living = [m for m in await one.store.family(parent.id) if m.ancestors and m.state is State.ACTIVE]
    assert len(living) == told["opened"] == FAN_OUT, told
    assert told["too_many_children"] + told["stale"] == FAN_OUT  # of twice as many
    return Counter({f"fan-out: {word}": count for word, count in told.items()})


async def _open_against_narrow(one: Node, other: Node) -> Counter[str]:
    parent = await a_parent(one.store)
    asks = [(one if n % 2 else other).child(parent, n) for n in range(AT_ONCE // 10)]
    narrowing = asyncio.create_task(other.narrow(parent.id, (), ("write",)))
    told = await asyncio.gather(*asks)
    less = await narrowing
    family = await one.store.family(parent.id)
    assert all(member.grants.within(less.grants) for member in family), "a child kept what its parent lost"
    return Counter({f"narrow: {word}": 1 for word in told})


@pytest.mark.timeout(120)
async def test_no_child_outlives_its_parent_and_no_charter_is_exceeded(server: str) -> None:
    print(await races(server, 5))


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_no_child_outlives_its_parent_in_a_hundred_rounds(server: str) -> None:
    print(await races(server, 100))
