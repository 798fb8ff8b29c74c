"""The invariants of sessions and leases hold on every step of every life."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sojourn.core import lease as leases
from sojourn.core import session as sessions
from sojourn.core.ending import Reason
from sojourn.core.errors import Conflict
from sojourn.core.lease import LeaseState, absence_counts
from sojourn.core.record import apply
from sojourn.core.session import LEAVING, State
from sojourn.testing.clock import START
from tests.model.lives import AFTER_THE_FENCE, SESSION_MOVES, a_lease, lives_of_leases, lives_of_sessions


def test_an_ended_session_never_moves() -> None:
    for name, before, step in lives_of_sessions():
        if before.state is State.ENDED:
            assert step.row == before, f"{name}: no resurrection"


def test_a_session_moves_only_as_the_table_says() -> None:
    for name, before, step in lives_of_sessions():
        after = step.row
        assert after.state is before.state or after.state in sessions.NEXT[before.state], name


def test_the_first_cause_of_an_end_wins_and_is_kept() -> None:
    for name, before, step in lives_of_sessions():
        if before.state in LEAVING:
            assert step.row.cause == before.cause, name
            assert step.row.refused_at == before.refused_at, name


def test_a_session_changes_exactly_when_a_fact_says_so() -> None:
    for name, before, step in lives_of_sessions():
        assert (step.row != before) == bool(step.facts), name
        assert step.row.version == before.version + len(step.facts), name


def test_replaying_its_facts_rebuilds_a_session() -> None:
    for name, before, step in lives_of_sessions():
        replayed = before
        for fact in step.facts:
            replayed = apply(replayed, fact.changes)
        assert replayed == step.row, name


def test_scope_and_window_only_shrink_but_for_a_renewal_within_the_last_end() -> None:
    for name, before, step in lives_of_sessions():
        after = step.row
        assert after.grants.within(before.grants), name
        assert after.window.closes <= after.last_end <= before.last_end, name
        if name != "renew":
            assert after.window.within(before.window), name


def test_what_shuts_tokens_out_raises_the_generation() -> None:
    for name, before, step in lives_of_sessions():
        if step.facts and name in ("suspend", "resume", "narrow", "shorten"):
            assert step.row.generation == before.generation + 1, name


def test_a_session_that_leaves_has_a_cause_and_a_time() -> None:
    for name, _, step in lives_of_sessions():
        if step.row.state in LEAVING:
            assert step.row.cause is not None and step.row.refused_at is not None, name


def test_every_state_and_every_move_of_a_session_is_reached() -> None:
    lives = list(lives_of_sessions())

    assert {step.row.state for _, _, step in lives} | {State.REQUESTED} == set(State)
    assert {name for name, _, step in lives if step.facts} == set(SESSION_MOVES)
    assert {step.row.cause.reason for _, _, step in lives if step.row.cause} >= {
        Reason.KILLED,
        Reason.SUSPENDED,
    }


def test_every_listed_move_between_states_happens() -> None:
    listed = {(before, after) for before, nexts in sessions.NEXT.items() for after in nexts}

    seen = {(before.state, step.row.state) for _, before, step in lives_of_sessions()}

    assert listed <= seen


def test_a_lease_moves_only_as_the_table_says() -> None:
    for name, before, step in lives_of_leases():
        after = step.row
        assert after.state is before.state or after.state in leases.NEXT[before.state], name


def test_a_destroyed_lease_never_moves() -> None:
    for name, before, step in lives_of_leases():
        if before.state is LeaseState.DESTROYED:
            moved = replaced_ref = step.row != before
            assert not moved or (replaced_ref and "locate" in name), name
            assert step.row.state is LeaseState.DESTROYED, name


def test_destroyed_means_that_no_issue_could_land_any_more() -> None:
    for name, before, step in lives_of_leases():
        if step.row.state is LeaseState.DESTROYED and before.state is LeaseState.DESTROYING:
            observed_from = START if name.startswith("early") else START + timedelta(seconds=60)
            assert before.settled or observed_from >= before.issue_by, name


def test_a_lease_changes_exactly_when_a_fact_says_so_and_replay_rebuilds_it() -> None:
    for name, before, step in lives_of_leases():
        replayed = before
        for fact in step.facts:
            replayed = apply(replayed, fact.changes)
        assert replayed == step.row, name
        assert (step.row != before) == bool(step.facts), name


def test_every_state_of_a_lease_is_reached() -> None:
    seen = {(before.state, step.row.state) for _, before, step in lives_of_leases()}

    listed = {(before, after) for before, nexts in leases.NEXT.items() for after in nexts}

    assert listed <= seen


def test_an_absence_seen_before_the_fence_is_refused_as_proof() -> None:
    lease = leases.begin_destroy(a_lease(), START).row

    with pytest.raises(Conflict) as refusal:
        leases.destroyed(lease, "seen", AFTER_THE_FENCE - timedelta(microseconds=1), AFTER_THE_FENCE)

    assert refusal.value.code == "fence"
    assert absence_counts(lease, AFTER_THE_FENCE)
