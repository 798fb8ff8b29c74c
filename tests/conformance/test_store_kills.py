"""Kill orders, descendants and the leases of many sessions, on both dialects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.adapters.sql_store import SqlStore
from sojourn.core import ids, lease, session
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.ids import KillId
from sojourn.core.kill import Kill, KillState, Selector, Selects, finish, number, order
from sojourn.ports.store import KillFilter
from tests.rig.store import START, a_lease, a_session, an_id

pytestmark = pytest.mark.anyio


def a_kill(place: int, kind: Selects = Selects.CLIENT, subject: str = "cli_1") -> Kill:
    cause = Cause(Reason.KILLED, "ops")
    return Kill(KillId(an_id(ids.KILL, place)), 1, KillState.ORDERED, Selector(kind, subject), cause, START)


async def test_orders_are_read_by_state_number_and_selector(store: SqlStore) -> None:
    first, second, third = a_kill(1), a_kill(2, Selects.OWNER, "team"), a_kill(3)
    await store.commit(Change(steps=(order(first), order(second), order(third))))
    numbered = number(first, 5, START)
    await store.commit(Change(steps=(numbered, number(second, 9, START))))
    await store.commit(Change(steps=(finish(numbered.row, 3, START),)))

    async def found(which: KillFilter) -> list[str]:
        return [one.id for one in await store.kills(which)]

    assert await found(KillFilter()) == [first.id, second.id, third.id]
    assert await found(KillFilter(unfinished=True)) == [second.id, third.id]
    assert await found(KillFilter(after_n=5)) == [second.id, third.id]
    assert await found(KillFilter(selector=second.selector)) == [second.id]
    kept = await store.kill(first.id)
    assert kept is not None and (kept.n, kept.ended, kept.state) == (5, 3, KillState.FINISHED)
    assert not await store.replay_differences()


async def test_descendants_are_found_below_many_roots_at_once(store: SqlStore) -> None:
    one, two = a_session(1), a_session(2)
    child = a_session(3, ancestors=(one.id,))
    below = a_session(4, ancestors=(one.id, child.id))
    gone = replace(a_session(5, ancestors=(two.id,)))
    for row in (one, two, child, below, gone):
        await store.commit(Change(steps=(session.request(row),)))
    ended = session.begin_end(gone, Cause(Reason.KILLED, "ops"), START)
    await store.commit(Change(steps=(ended,)))

    assert [row.id for row in await store.descendants([one.id, two.id])] == [child.id, below.id]
    assert await store.descendants([]) == []


async def test_the_leases_of_many_sessions_come_at_once(store: SqlStore) -> None:
    one, two, three = a_session(1), a_session(2), a_session(3)
    for row in (one, two, three):
        await store.commit(Change(steps=(session.request(row),)))
    held = [a_lease(1, one), a_lease(2, one), a_lease(3, two)]
    await store.commit(Change(steps=tuple(lease.plan(row, START) for row in held)))

    found = await store.leases_of([one.id, two.id, three.id])

    assert found == {one.id: held[:2], two.id: held[2:]}
    assert await store.leases_of([]) == {}
