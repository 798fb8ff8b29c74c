"""Places of hooks: one holder at a time, in every store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sojourn.adapters.sql_store import SqlStore
from sojourn.core.change import Change
from sojourn.core.errors import Conflict
from sojourn.core.hook import Hook, HookPlace, add, remove
from sojourn.core.ids import HOOK, HookId
from sojourn.testing.memory_store import MemoryStore
from tests.rig.store import START, Place, an_id, require_replay

pytestmark = pytest.mark.anyio
HOLDS_OF_EVERY_STORE = True
MINUTE = timedelta(minutes=1)
Any = SqlStore | MemoryStore


def a_hook(number: int = 1, name: str = "chat") -> Hook:
    made = HookId(an_id(HOOK, number))
    return Hook(made, 1, name, "https://chat.example/", ("session.ended",), True, 7, START, "ada")


async def test_a_place_has_one_holder_until_it_is_moved_or_its_time_is_up(store: Any) -> None:
    hook = a_hook()
    assert await store.hook_place(hook.id) is None

    first = await store.hold_hook(hook, "one", START, START + MINUTE)

    assert first == HookPlace(7)
    assert await store.hold_hook(hook, "two", START, START + MINUTE) is None
    assert not await store.move_hook(hook.id, "two", HookPlace(9))
    assert await store.move_hook(hook.id, "one", HookPlace(8))
    assert not await store.move_hook(hook.id, "one", HookPlace(9)), "it was let go of"
    assert await store.hold_hook(hook, "two", START, START + MINUTE) == HookPlace(8)
    assert await store.hold_hook(hook, "three", START + MINUTE, START + 2 * MINUTE) == HookPlace(8)


async def test_a_place_that_waits_for_its_retry_is_held_by_nobody_until_then(store: Any) -> None:
    hook, waits = (
        a_hook(),
        HookPlace(7, attempts=2, run_at=START + MINUTE, given_up=1, error="it answered 503"),
    )
    await store.hold_hook(hook, "one", START, START + MINUTE)
    await store.move_hook(hook.id, "one", waits)

    assert await store.hold_hook(hook, "one", START, START + MINUTE) is None
    assert await store.hold_hook(hook, "two", START + MINUTE, START + 2 * MINUTE) == waits
    assert await store.hook_place(hook.id) == waits


async def test_hooks_are_listed_until_they_are_removed(store: Any) -> None:
    hook, other = a_hook(), a_hook(2, "pager")
    await store.commit(Change(steps=(add(hook), add(other))))

    await store.commit(Change(steps=(remove(hook, START),)))

    assert await store.hooks() == [other]
    await require_replay(store)


async def test_two_hooks_of_one_name_cannot_both_land(place: Place) -> None:
    store = await place.open()
    await store.commit(Change(steps=(add(a_hook()),)))

    with pytest.raises(Conflict, match="stale"):
        await store.commit(Change(steps=(add(a_hook(2)),)))
    await store.close()
