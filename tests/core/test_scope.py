"""Grants only shrink, and what is not held cannot be dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.errors import Invalid
from sojourn.core.scope import AudienceGrant, Grant, Grants, TargetGrant, choose, collect, narrow

SHOP = TargetGrant("shop-readonly", "shop", "readonly")
ORDERS = AudienceGrant("orders", "https://orders.example", ("orders:read", "orders:write"))
STOCK = AudienceGrant("stock", "https://orders.example", ("stock:read",))
OFFERED: dict[str, Grant] = {g.name: g for g in (SHOP, ORDERS, STOCK)}
subsets = st.sets(st.sampled_from(sorted(OFFERED)))


def test_choosing_nothing_that_is_offered_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        choose(OFFERED, ["shop-admin"])

    assert refusal.value.code == "unknown_grant"
    assert "orders, shop-readonly, stock" in refusal.value.message


def test_the_actions_at_an_audience_come_from_every_grant_there() -> None:
    grants = collect([STOCK, ORDERS, SHOP])

    assert grants.actions_at("https://orders.example") == ("orders:read", "orders:write", "stock:read")
    assert grants.actions_at("https://other.example") == ()


def test_a_grant_goes_with_its_last_action() -> None:
    left = narrow(collect([SHOP, ORDERS]), [], ["orders:read", "orders:write"])

    assert left == Grants(targets=(SHOP,))


@pytest.mark.parametrize(
    ("drop", "actions", "code"), [(["x"], [], "unknown_grant"), ([], ["x"], "unknown_action")]
)
def test_dropping_what_is_not_held_is_refused(drop: list[str], actions: list[str], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        narrow(collect([SHOP, ORDERS]), drop, actions)

    assert refusal.value.code == code


@given(subsets, subsets)
def test_narrowing_stays_within_and_is_what_was_not_dropped(held: set[str], drop: set[str]) -> None:
    before = choose(OFFERED, held)

    after = narrow(before, drop & held)

    assert after.within(before)
    assert after.names() == held - drop


@given(subsets, subsets)
def test_within_is_a_partial_order(one: set[str], other: set[str]) -> None:
    a, b = choose(OFFERED, one), choose(OFFERED, other)

    assert a.within(a)
    assert (a.within(b) and b.within(a)) == (a == b)
    assert a.within(b) == (one <= other)
