"""Status lists are read from the sessions in them, on each store alike."""

from __future__ import annotations

import pytest

from sojourn.core import session
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.session import State
from sojourn.ports.store import Store
from tests.rig.store import START, opened

pytestmark = pytest.mark.anyio


async def test_a_status_list_is_read_from_the_sessions_in_it(store: Store) -> None:
    rows = []
    for number, place in ((1, ("1-20261102-0", 9)), (2, ("1-20261102-0", 4)), (3, ("1-20261102-1", 4))):
        approved = await opened(store, number)
        step = session.activate(approved, START, status=place)
        await store.commit(Change(steps=(step,)))
        rows.append(step.row)
    ending = session.begin_end(rows[0], Cause(Reason.KILLED, "ops"), START)
    ended = ending.then(session.finish_end(ending.row, START))
    frozen = session.suspend(rows[2], Cause(Reason.SUSPENDED, "ops"), START)
    await store.commit(Change(steps=(ended, frozen)))

    assert await store.statuses("1-20261102-0") == {9: State.ENDED}
    assert await store.statuses("1-20261102-1") == {4: State.SUSPENDED}
    assert await store.statuses("1-20261103-0") is None
    assert await store.status_lists() == ["1-20261102-0", "1-20261102-1"]
