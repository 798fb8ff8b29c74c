"""What a charter's grants can be narrowed to is a lattice: every two have a largest common part."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.scope import AudienceGrant, Grants, TargetGrant, collect, narrow

WHOLE: Final = collect(
    [
        TargetGrant("reader", "shop", "readonly"),
        TargetGrant("writer", "shop", "readwrite", "A"),
        AudienceGrant("orders", "https://orders.example", ("orders:read", "orders:write")),
        AudienceGrant("stock", "https://stock.example", ("stock:count", "stock:read", "stock:write")),
    ]
)
ACTIONS: Final = sorted({action for grant in WHOLE.audiences for action in grant.actions})


@st.composite
def parts(draw: st.DrawFn) -> Grants:
    """Anything that narrowing can leave of the whole."""
    drop = draw(st.sets(st.sampled_from(sorted(WHOLE.names()))))
    left = narrow(WHOLE, drop)
    held = sorted({action for grant in left.audiences for action in grant.actions})
    return narrow(left, [], draw(st.sets(st.sampled_from(held))) if held else [])


def actions_of(grants: Grants) -> set[str]:
    return {action for grant in grants.audiences for action in grant.actions}


def meet(one: Grants, other: Grants) -> Grants:
    """What is left of one when all that the other lacks is dropped."""
    left = narrow(one, one.names() - other.names())
    return narrow(left, [], actions_of(left) - actions_of(other))


def join(one: Grants, other: Grants) -> Grants:
    """The smallest part that holds both."""
    union = {grant.name: grant for grant in one.audiences}
    for grant in other.audiences:
        held = union.get(grant.name, grant)
        union[grant.name] = replace(held, actions=tuple(sorted({*held.actions, *grant.actions})))
    return collect([*{*one.targets, *other.targets}, *union.values()])


@given(parts(), parts())
def test_within_is_an_order_of_values(one: Grants, other: Grants) -> None:
    assert one.within(one)
    assert (one.within(other) and other.within(one)) == (one == other)


@given(parts(), parts(), parts())
def test_within_passes_on(one: Grants, two: Grants, three: Grants) -> None:
    smallest, middle = meet(meet(one, two), three), meet(one, two)

    assert smallest.within(middle) and middle.within(one) and smallest.within(one)


@given(parts(), parts(), parts())
def test_the_largest_common_part_is_one_and_holds_every_other(
    one: Grants, two: Grants, third: Grants
) -> None:
    common = meet(one, two)

    assert common == meet(two, one)
    assert common.within(one) and common.within(two)
    assert third.within(common) == (third.within(one) and third.within(two))


@given(parts(), parts(), parts())
def test_the_smallest_whole_holds_both_and_lies_in_every_other(
    one: Grants, two: Grants, third: Grants
) -> None:
    both = join(one, two)

    assert one.within(both) and two.within(both)
    assert both.within(third) == (one.within(third) and two.within(third))
    assert meet(one, both) == one and join(one, meet(one, two)) == one


@given(parts(), st.sets(st.sampled_from(sorted(WHOLE.names()))), st.sets(st.sampled_from(ACTIONS)))
def test_narrowing_never_gives_more_and_twice_is_once(
    held: Grants, drop: set[str], actions: set[str]
) -> None:
    after = narrow(narrow(held, drop & held.names()), [])
    held_actions = actions_of(after)
    after = narrow(after, [], actions & held_actions)

    assert after.within(held)
    assert narrow(after, [], []) == after
    assert not (drop & after.names()) and not (actions & actions_of(after))
