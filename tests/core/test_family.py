"""A child never holds more than its parent, at its birth and after whatever happens to the parent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sojourn.core import family, scope
from sojourn.core.charter import ChildRule
from sojourn.core.errors import Conflict, Invalid, Refused
from sojourn.core.family import ChildWish, portion, share
from sojourn.core.ids import SESSION, SessionId
from sojourn.core.scope import AudienceGrant, Grants, TargetGrant, collect, meet
from sojourn.core.session import Session, State, narrow
from sojourn.core.token import describe, from_json, to_json
from tests.rig.store import START, a_session, an_id

RULE = ChildRule(depth=3, fan_out=2)
NOW = START + timedelta(minutes=1)
ACTIVE = replace(a_session(), state=State.ACTIVE)

targets = st.sets(st.sampled_from("abc")).map(lambda names: [TargetGrant(n, "db", n) for n in names])
actions = st.sets(st.sampled_from(["read", "write", "list"]), min_size=1).map(lambda s: tuple(sorted(s)))
audiences = st.dictionaries(st.sampled_from("xyz"), actions).map(
    lambda chosen: [AudienceGrant(n, f"https://{n}", a) for n, a in chosen.items()]
)
scopes = st.builds(lambda t, a: collect([*t, *a]), targets, audiences)


@given(scopes, scopes)
def test_the_meet_of_two_scopes_lies_within_both_and_is_the_greatest_such(a: Grants, b: Grants) -> None:
    both = meet(a, b)

    assert both.within(a) and both.within(b)
    assert meet(a, a) == a and meet(both, b) == both
    for grant in both.audiences:
        wanted = set(a.actions_at(grant.audience)) & set(b.actions_at(grant.audience))
        assert set(both.actions_at(grant.audience)) == wanted


@given(scopes, scopes, scopes)
def test_what_lies_within_two_scopes_lies_within_their_meet(a: Grants, b: Grants, c: Grants) -> None:
    assume(c.within(a) and c.within(b))

    assert c.within(meet(a, b))


@given(scopes, st.sets(st.sampled_from("abcxyz")), st.integers(1, 3600))
def test_no_child_is_born_with_more_than_its_parent_has(held: Grants, wanted: set[str], seconds: int) -> None:
    parent = replace(ACTIVE, grants=held)
    wish = ChildWish(frozenset(wanted & held.names()), (), timedelta(seconds=seconds))

    if timedelta(seconds=seconds) > parent.window.closes - NOW:
        with pytest.raises(Invalid):
            portion(parent, RULE, wish, living=0, now=NOW)
        return

    given_ = portion(parent, RULE, wish, living=0, now=NOW)

    assert given_.grants.within(parent.grants) and given_.window.within(parent.window)


@given(scopes, scopes, st.integers(1, 30), st.data())
def test_no_narrowing_of_the_parent_leaves_a_child_with_more(
    held: Grants, own: Grants, minutes: int, data: st.DataObject
) -> None:
    parent = replace(ACTIVE, grants=held)
    child = replace(parent, id=SessionId(an_id(SESSION, 2)), grants=meet(own, held), ancestors=(parent.id,))
    drop = data.draw(st.sets(st.sampled_from(sorted(held.names()))) if held.names() else st.just(set()))
    less = narrow(
        parent, scope.narrow(held, drop), parent.window.until(START + timedelta(minutes=minutes)), NOW
    )

    left = share(child, less.row)

    assert left.grants.within(less.row.grants) and left.grants.within(child.grants)
    assert left.window.closes <= less.row.window.closes


@pytest.mark.parametrize(
    ("change", "living", "code"),
    [
        ({"ancestors": tuple(an_id(SESSION, n) for n in (7, 8, 9))}, 0, "too_deep"),
        ({}, 2, "too_many_children"),
        ({"state": State.REVOKING}, 0, "session_ended"),
        ({"state": State.ENDED}, 0, "session_ended"),
    ],
)
def test_a_child_beyond_the_charter_or_the_end_is_refused(
    change: dict[str, object], living: int, code: str
) -> None:
    parent: Session = replace(ACTIVE, **change)  # type: ignore[arg-type]

    with pytest.raises(Refused) as refusal:
        portion(parent, RULE, ChildWish(), living=living, now=NOW)

    assert refusal.value.code == code


@pytest.mark.parametrize("state", [State.REQUESTED, State.APPROVED, State.SUSPENDED])
def test_only_an_active_session_has_children(state: State) -> None:
    with pytest.raises(Conflict):
        portion(replace(ACTIVE, state=state), RULE, ChildWish(), living=0, now=NOW)


def test_a_charter_that_says_nothing_allows_no_child() -> None:
    with pytest.raises(Refused):
        portion(ACTIVE, ChildRule(), ChildWish(), living=0, now=NOW)


def test_a_token_names_its_family_and_who_acts() -> None:
    elders = tuple(SessionId(an_id(SESSION, n)) for n in (1, 2))
    child = replace(a_session(3), ancestors=elders)
    claims = describe(
        child, "https://api", issuer="i", token_id="t", life=timedelta(60), epoch=1, mark=0, now=NOW
    )

    told = to_json(claims)

    assert told["fam"] == elders[0] == family.root_of(child)
    assert told["act"] == {"sub": child.id, "act": {"sub": elders[1], "act": {"sub": elders[0]}}}
    assert from_json(told).family == elders[0]
    with pytest.raises(Refused):
        from_json({**told, "fam": child.id})
