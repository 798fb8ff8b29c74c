"""What every store keeps of rules: policy sets, the reviews that are owed, and how far both have come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core import charter, policy, review, session
from sojourn.core.change import Change
from sojourn.core.errors import Conflict
from sojourn.core.ids import POLICY, REVIEW, OwnerId, PolicyId, ReviewId
from sojourn.core.policy import PolicySet
from sojourn.core.review import Review
from sojourn.core.session import Session, State
from sojourn.ports.store import Rules, Store
from tests.rig.store import START, Place, a_charter, a_session, an_id, require_replay

pytestmark = pytest.mark.anyio
HOLDS_OF_EVERY_STORE = True


def a_set(number: int, *, at: int | None = None) -> PolicySet:
    made = PolicyId(an_id(POLICY, 900 + (at or number)))
    return PolicySet(made, 1, number, f"// set {number}", START, "ada")


def a_review(of: Session, number: int = 1) -> Review:
    made = ReviewId(an_id(REVIEW, 950 + number))
    return Review(made, 1, of.id, of.charter, OwnerId(of.owner), START)


async def test_the_newest_policy_set_is_read_unless_a_number_is_named(store: Store) -> None:
    assert await store.policy() is None
    assert await store.rules() == Rules(0, 0)
    for number in (1, 2):
        await store.commit(Change(steps=(policy.apply(a_set(number)),)))
    await store.commit(Change(steps=(charter.apply(a_charter()),)))

    assert await store.policy() == a_set(2)
    assert await store.policy(1) == a_set(1)
    assert await store.policy(3) is None
    assert await store.rules() == Rules(2, 1)


async def test_a_review_is_owed_until_it_is_done(store: Store) -> None:
    first, second = a_session(number=1, break_glass=True), a_session(number=2, break_glass=True)
    for place, one in enumerate((first, second), start=1):
        await store.commit(Change(steps=(session.request(one), review.owe(a_review(one, place)))))
    over = replace(first, state=State.ENDED)

    done = review.review(a_review(first), over, "ada", "all is well", now=START)
    await store.commit(Change(steps=(done,)))

    assert await store.review(first.id) == done.row
    assert await store.reviews(owed=True, limit=9) == [a_review(second, 2)]
    assert await store.reviews(owed=False, limit=9) == [done.row, a_review(second, 2)]
    assert await store.reviews(owed=False, limit=1) == [done.row]


async def test_two_sets_of_one_number_are_one_too_many(place: Place) -> None:
    store = await place.open()
    try:
        await store.commit(Change(steps=(policy.apply(a_set(1)),)))
        with pytest.raises(Conflict):
            await store.commit(Change(steps=(policy.apply(a_set(1, at=7)),)))

        await require_replay(store)
        assert await store.policy() == a_set(1)
    finally:
        await store.close()
