"""The store's errands, feed and checkpoints, on both dialects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.change import Change, Errand, ErrandKind, Revocation, RevocationKind
from sojourn.core.errors import Conflict
from sojourn.core.session import Session
from sojourn.ports.store import Mark, Store
from tests.rig.store import SECOND, START, a_lease, a_target, an_errand_id, opened

pytestmark = pytest.mark.anyio
HOLDS_OF_EVERY_STORE = True


def revocation(name: str, *, keep_s: int = 60, generation: int | None = None) -> Revocation:
    return Revocation(RevocationKind.SESSION, name, generation, START + keep_s * SECOND)


def errand(number: int, of: Session, *, due_s: int = 0) -> Errand:
    planned = a_lease(number, of)
    return Errand(
        an_errand_id(number), ErrandKind.DESTROY, planned.id, of.id, planned.target, START + due_s * SECOND
    )


# -- errands -----------------------------------------------------------------------------


async def test_an_errand_is_held_by_one_until_its_hold_expires(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held), errand(2, held, due_s=5), errand(3, held, due_s=-5))))

    first = await store.claim("one", START, hold=10 * SECOND, limit=5)
    none = await store.claim("two", START, hold=10 * SECOND, limit=5)
    again = await store.claim("two", START + 10 * SECOND, hold=10 * SECOND, limit=1)

    assert [(e.id, e.attempts) for e in first] == [(an_errand_id(3), 1), (an_errand_id(1), 1)]
    assert none == []
    assert [(e.id, e.attempts) for e in again] == [(an_errand_id(3), 2)]


async def test_a_hold_is_lengthened_by_its_holder_and_by_nobody_else(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held), errand(2, held))))
    await store.claim("one", START, hold=SECOND, limit=1)
    await store.claim("two", START, hold=SECOND, limit=1)

    both = (an_errand_id(1), an_errand_id(2))
    await store.hold_on("one", START + 9 * SECOND, both)
    free = await store.claim("three", START + SECOND, hold=20 * SECOND, limit=5)
    await store.hold_on("one", START + 2 * SECOND, both)
    later = await store.claim("four", START + 2 * SECOND, hold=SECOND, limit=5)

    assert [e.id for e in free] == [an_errand_id(2)]
    assert [e.id for e in later] == [an_errand_id(1)]


async def test_what_its_holder_does_not_name_runs_out(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held), errand(2, held))))
    await store.claim("one", START, hold=SECOND, limit=2)

    await store.hold_on("one", START + 9 * SECOND, (an_errand_id(2),))
    free = await store.claim("two", START + SECOND, hold=SECOND, limit=5)

    assert [e.id for e in free] == [an_errand_id(1)]


async def test_a_target_that_is_skipped_has_nothing_due(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held),)))
    target = errand(1, held).target

    assert await store.next_errand_at() == START
    assert await store.next_errand_at(without=(target,)) is None
    assert await store.claim("one", START, hold=SECOND, limit=5, without=(target,)) == []


async def test_an_errand_is_given_back_by_its_holder_only(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held),)))
    await store.claim("one", START, hold=SECOND, limit=1)
    await store.claim("two", START + SECOND, hold=SECOND, limit=1)

    assert not await store.postpone(an_errand_id(1), "one", START, "late")
    assert await store.postpone(an_errand_id(1), "two", START + 9 * SECOND, "refused")
    assert await store.next_errand_at() == START + 9 * SECOND
    assert await store.claim("one", START + 8 * SECOND, hold=SECOND, limit=1) == []


async def test_an_errand_that_is_done_is_gone(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held), errand(2, held))))

    await store.commit(Change(done=(an_errand_id(1),)))

    assert [e.id for e in await store.claim("one", START, hold=SECOND, limit=5)] == [an_errand_id(2)]


async def test_errands_of_a_resting_target_are_skipped(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held),)))

    assert await store.claim("one", START, hold=SECOND, limit=5, without=[a_target().id]) == []
    assert len(await store.claim("one", START, hold=SECOND, limit=5, without=[a_target(2).id])) == 1


# -- feed, journal, seal -------------------------------------------------------------------


async def test_the_feed_answers_what_came_after_the_mark(store: Store) -> None:
    await store.commit(Change(revocations=(revocation("ses_a"), revocation("ses_b", generation=3))))
    await store.commit(Change(revocations=(revocation("ses_c"),)))

    page = await store.feed(Mark(1, 1), limit=1)
    rest = await store.feed(page.mark, limit=5)

    assert [(e.n, e.id, e.min_generation) for e in page.entries] == [(2, "ses_b", 3)]
    assert (page.mark, page.snapshot) == (Mark(1, 2), False)
    assert [e.n for e in rest.entries] == [3]
    assert await store.feed(rest.mark, limit=5) == replace(rest, entries=())


async def test_a_mark_that_cannot_be_followed_gets_a_snapshot(store: Store) -> None:
    await store.commit(
        Change(revocations=(revocation("ses_a", keep_s=1), revocation("ses_b"), revocation("ses_c")))
    )
    await store.forget_expired(START + SECOND)

    for mark in (None, Mark(0, 3), Mark(2, 1), Mark(1, 0), Mark(1, 99)):
        page = await store.feed(mark, limit=1)
        assert page.snapshot, mark
        assert [e.id for e in page.entries] == ["ses_b", "ses_c"]
        assert page.mark == Mark(1, 3)
    assert not (await store.feed(Mark(1, 1), limit=5)).snapshot


async def test_a_checkpoint_never_goes_back(store: Store) -> None:
    await store.seal(2, {(0, 0): b"a" * 64}, "note of 2")
    await store.seal(3, {(0, 0): b"a" * 96, (1, 0): b"b" * 32}, "note of 3")

    for size in (2, 3):
        with pytest.raises(Conflict):
            await store.seal(size, {(0, 0): b"x"}, "note")

    assert await store.checkpoint() == (3, "note of 3")
    assert await store.tiles([(0, 0), (1, 0), (7, 7)]) == {(0, 0): b"a" * 96, (1, 0): b"b" * 32}
