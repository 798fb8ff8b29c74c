"""What every store keeps: commits, reads, marks, errands and the feed, on both dialects."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core import charter, client, lease, session, target
from sojourn.core.change import (
    Change,
    Errand,
    ErrandKind,
    Once,
    Pin,
    Revocation,
    RevocationKind,
    Sealed,
    Spend,
    pin,
)
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Invalid, Refused
from sojourn.core.ids import SessionId
from sojourn.core.record import RowKind
from sojourn.core.session import Session, State
from sojourn.core.window import Window
from sojourn.ports.store import Head, SessionFilter, Store
from tests.rig.store import (
    SECOND,
    START,
    Place,
    a_charter,
    a_client,
    a_lease,
    a_session,
    a_target,
    an_errand_id,
    opened,
    require_replay,
)

pytestmark = pytest.mark.anyio
HOLDS_OF_EVERY_STORE = True

KILLED = Cause(Reason.KILLED, "ops", "")


def revocation(name: str, *, keep_s: int = 60, generation: int | None = None) -> Revocation:
    return Revocation(RevocationKind.SESSION, name, generation, START + keep_s * SECOND)


def errand(number: int, of: Session, *, due_s: int = 0) -> Errand:
    planned = a_lease(number, of)
    return Errand(
        an_errand_id(number), ErrandKind.DESTROY, planned.id, of.id, planned.target, START + due_s * SECOND
    )


# -- commit and read -----------------------------------------------------------------------


async def test_every_row_is_read_as_it_was_written(store: Store) -> None:
    held = a_session(cause=Cause(Reason.SUSPENDED, "ops", "note"), refused_at=START, context={})
    steps = (
        session.request(held),
        lease.plan(a_lease(1, held), START),
        client.register(a_client()),
        charter.apply(a_charter()),
        target.add(a_target()),
    )

    await store.commit(Change(steps=steps))

    assert await store.session(held.id) == held
    assert await store.leases(held.id) == [a_lease(1, held)]
    assert await store.lease(a_lease(1, held).id) == a_lease(1, held)
    assert await store.client(a_client().id) == await store.client_named("runner") == a_client()
    assert await store.charter("demo") == a_charter()
    assert await store.target(a_target().id) == await store.target_named("shop-db") == a_target()
    await require_replay(store)


async def test_what_is_not_there_is_none(store: Store) -> None:
    absent = a_session(9)

    assert await store.session(absent.id) is None
    assert await store.lease(a_lease(9, absent).id) is None
    assert await store.charter("demo") is None
    assert await store.sealed("admin") is None
    assert await store.last_beat(absent.id) is None
    assert await store.checkpoint() is None
    assert await store.next_errand_at() is None


async def test_a_commit_answers_the_head_right_after_it(store: Store) -> None:
    first = await store.commit(Change(steps=(session.request(a_session(1)),)))
    second = await store.commit(Change(revocations=(revocation("ses_a"), revocation("ses_b"))))

    assert (first, second) == (Head(1, 1, 0), Head(1, 1, 2))
    assert await store.head() == second


async def test_a_refused_change_leaves_nothing_behind(store: Store) -> None:
    held = await opened(store)
    before = await store.head()
    stale = replace(session.activate(held, START), read_version=1)

    with pytest.raises(Conflict) as refusal:
        await store.commit(
            Change(
                steps=(session.request(a_session(2)), stale),
                errands=(errand(1, held),),
                revocations=(revocation("ses_a"),),
                once=(Once("jti", "a", START + SECOND),),
                sealed=(Sealed("admin", b"x"),),
            )
        )

    assert refusal.value.code == "stale"
    assert await store.head() == before
    assert await store.session(a_session(2).id) is None
    assert await store.next_errand_at() is None
    assert await store.mark("jti", "a", START) is None
    assert await store.sealed("admin") is None


async def test_a_change_on_an_older_version_is_stale(store: Store) -> None:
    held = await opened(store)
    await store.commit(Change(steps=(session.activate(held, START),)))

    with pytest.raises(Conflict) as refusal:
        await store.commit(Change(steps=(session.begin_end(held, KILLED, START),)))

    assert refusal.value.code == "stale"


async def test_a_pinned_row_must_be_unchanged(store: Store) -> None:
    held = await opened(store)
    added = target.add(a_target())
    await store.commit(Change(steps=(added,)))
    await store.commit(Change(steps=(target.preflighted(added.row, passed=True, now=START),)))

    with pytest.raises(Conflict) as refusal:
        await store.commit(
            Change(steps=(session.activate(held, START),), pins=(pin(RowKind.TARGET, added.row),))
        )
    await store.commit(
        Change(steps=(session.activate(held, START),), pins=(Pin(RowKind.TARGET, added.row.id, 2),))
    )

    assert refusal.value.code == "stale"


async def test_a_pin_on_a_row_that_is_not_there_is_stale(store: Store) -> None:
    with pytest.raises(Conflict):
        await store.commit(Change(pins=(pin(RowKind.SESSION, a_session(7)),)))


async def test_an_id_is_born_once(store: Store) -> None:
    await opened(store)
    await store.commit(Change(steps=(client.register(a_client()),)))

    for step in (
        session.request(a_session(1)),
        client.register(a_client(1, "other")),
        client.register(a_client(2)),
    ):
        with pytest.raises(Conflict) as refusal:
            await store.commit(Change(steps=(step,)))
        assert refusal.value.code == "stale"


async def test_a_removed_client_frees_its_name_and_stays_on_record(store: Store) -> None:
    first = client.register(a_client(1))
    await store.commit(Change(steps=(first,)))
    await store.commit(Change(steps=(client.remove(first.row, START),)))

    await store.commit(Change(steps=(client.register(a_client(2)),)))

    assert await store.client_named("runner") == a_client(2)
    assert [c.id for c in await store.clients()] == [a_client(1).id, a_client(2).id]


async def test_the_newest_charter_is_read_unless_a_number_is_named(store: Store) -> None:
    for number in (1, 2):
        await store.commit(Change(steps=(charter.apply(a_charter(number)),)))

    assert await store.charter("demo") == a_charter(2)
    assert await store.charter("demo", 1) == a_charter(1)
    assert await store.charter("demo", 3) is None
    assert await store.charters() == [a_charter(1), a_charter(2)]


async def test_one_change_may_pass_through_several_states(store: Store) -> None:
    held = await opened(store)
    step = session.begin_end(held, KILLED, START)

    await store.commit(Change(steps=(step.then(session.finish_end(step.row, START)),)))

    read = await store.session(held.id)
    assert read is not None
    assert read.state is State.ENDED
    await require_replay(store)


# -- reads -------------------------------------------------------------------------------


async def test_a_family_is_read_root_first_and_parents_before_children(store: Store) -> None:
    root = a_session(5)
    child = a_session(3, ancestors=(root.id,))
    grandchild = a_session(1, ancestors=(root.id, child.id))
    stranger = a_session(4)
    for member in (root, child, grandchild, stranger):
        await store.commit(Change(steps=(session.request(member),)))

    assert await store.family(root.id) == [root, child, grandchild]
    assert await store.family(child.id) == [child, grandchild]
    assert await store.family(a_session(9).id) == []


async def test_sessions_are_listed_page_by_page(store: Store) -> None:
    for number in (3, 1, 2):
        await store.commit(Change(steps=(session.request(a_session(number)),)))
    await store.commit(Change(steps=(session.begin_end(a_session(2), KILLED, START),)))

    first = await store.sessions(SessionFilter(), after=None, limit=2)
    rest = await store.sessions(SessionFilter(), after=first[-1].id, limit=2)
    waiting = await store.sessions(SessionFilter(states=frozenset({State.REQUESTED})), after=None, limit=9)
    by_task = await store.sessions(SessionFilter(owner="own_team", task_ref="3"), after=None, limit=9)
    other = await store.sessions(SessionFilter(charter="other@1"), after=None, limit=9)

    assert [s.task.ref for s in (*first, *rest)] == ["1", "2", "3"]
    assert [s.task.ref for s in waiting] == ["1", "3"]
    assert [s.task.ref for s in by_task] == ["3"]
    assert other == []


async def test_only_leases_that_are_not_destroyed_are_living(store: Store) -> None:
    held = await opened(store)
    kept, gone = lease.plan(a_lease(1, held), START), lease.plan(a_lease(2, held), START)
    await store.commit(Change(steps=(kept, gone)))
    leaving = lease.begin_destroy(gone.row, START)
    later = START + 10 * SECOND

    await store.commit(Change(steps=(leaving.then(lease.destroyed(leaving.row, "seen", later, later)),)))

    assert await store.living_leases(kept.row.target) == 1


async def test_time_makes_sessions_overdue(store: Store) -> None:
    waiting = a_session(1, activate_by=START + 5 * SECOND)
    await store.commit(Change(steps=(session.request(waiting),)))
    held = await opened(store, 2)
    await store.commit(Change(steps=(session.activate(held, START),)))
    await store.note_beats([(held.id, START, START + 30 * SECOND)])

    async def due(now_s: int, beats_s: int) -> list[str]:
        found = await store.overdue(START + now_s * SECOND, beats_until=START + beats_s * SECOND, limit=10)
        return [late.session for late in found]

    assert await due(4, 29) == []
    assert await due(5, 29) == [waiting.id]
    assert await due(5, 30) == [waiting.id, held.id]
    await store.commit(Change(steps=(session.begin_end(waiting, KILLED, START),)))
    assert await due(50, 30) == [held.id]


async def test_an_older_beat_never_replaces_a_newer_one(store: Store) -> None:
    held = await opened(store)

    await store.note_beats([(held.id, START + 5 * SECOND, None), (held.id, START, None)])
    await store.note_beats([(held.id, START + 2 * SECOND, None)])

    assert await store.last_beat(held.id) == START + 5 * SECOND


# -- marks -----------------------------------------------------------------------------


async def test_a_mark_is_taken_once(store: Store) -> None:
    once = Change(once=(Once("jti", "a" * 1000, START + SECOND, "answer"),))
    await store.commit(once)

    with pytest.raises(Refused) as refusal:
        await store.commit(once)

    assert refusal.value.code == "replayed"
    assert await store.mark("jti", "a" * 1000, START) == "answer"
    assert await store.mark("jti", "a" * 1000, START + SECOND) is None
    assert await store.mark("key", "a" * 1000, START) is None


async def test_of_many_uses_of_one_mark_exactly_one_succeeds(store: Store) -> None:
    use = Change(once=(Once("jti", "a", START + SECOND),))

    outcomes = await asyncio.gather(*(store.commit(use) for _ in range(20)), return_exceptions=True)

    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(refusals) == 19
    assert {refusal.code for refusal in refusals} == {"replayed"}


async def test_a_mark_is_spent_once_and_not_after_it_expired(store: Store) -> None:
    await store.commit(
        Change(once=(Once("invite", "a", START + SECOND), Once("invite", "b", START + SECOND)))
    )

    await store.commit(Change(spend=(Spend("invite", "a", START),)))
    for spend in (
        Spend("invite", "a", START),
        Spend("invite", "b", START + SECOND),
        Spend("invite", "c", START),
    ):
        with pytest.raises(Refused) as refusal:
            await store.commit(Change(spend=(spend,)))
        assert refusal.value.code == "unknown_mark"


async def test_what_expired_is_forgotten(store: Store) -> None:
    await store.commit(
        Change(
            once=(Once("jti", "a", START + SECOND), Once("jti", "b", START + 60 * SECOND)),
            revocations=(revocation("ses_a", keep_s=1), revocation("ses_b", keep_s=60)),
        )
    )

    assert await store.forget_expired(START + SECOND) == 2
    assert await store.forget_expired(START + SECOND) == 0
    assert await store.mark("jti", "b", START) == ""


async def test_a_sealed_secret_is_replaced_whole(store: Store) -> None:
    await store.commit(Change(sealed=(Sealed("admin", b"\x00one"),)))
    await store.commit(Change(sealed=(Sealed("admin", b"\xfftwo"),)))

    assert await store.sealed("admin") == b"\xfftwo"


async def test_what_is_sealed_can_be_taken_away(store: Store) -> None:
    await store.commit(Change(sealed=(Sealed("lease", b"one"), Sealed("other", b"two"))))
    await store.commit(Change(sealed=(Sealed("lease", None), Sealed("never was", None))))

    assert await store.sealed("lease") is None
    assert await store.sealed("other") == b"two"


async def test_a_restart_keeps_everything(place: Place) -> None:
    store = await place.open()
    held = await opened(store)
    await store.commit(Change(errands=(errand(1, held),), revocations=(revocation("ses_a"),)))
    await store.note_beats([(held.id, START, None)])
    head, leaves = await store.head(), await store.journal(0, limit=10)
    await store.close()

    store = await place.open()

    assert await store.head() == head
    assert await store.journal(0, limit=10) == leaves
    assert await store.session(held.id) == held
    assert await store.last_beat(held.id) == START
    assert await store.next_errand_at() == START
    await store.close()


async def test_a_narrowed_window_moves_the_deadline(store: Store) -> None:
    held = await opened(store)
    active = session.activate(held, START)
    window = Window(START, START + timedelta(minutes=1))
    await store.commit(Change(steps=(active.then(session.narrow(active.row, held.grants, window, START)),)))

    late = await store.overdue(START + timedelta(minutes=1), beats_until=START, limit=5)

    assert [found.session for found in late] == [held.id]


async def test_what_is_no_id_is_refused_and_is_no_failure_of_the_store(place: Place) -> None:
    store = await place.open()
    for odd in ("", "ses_x", "cli_" + "0" * 26, a_session(1).id.upper()):
        with pytest.raises(Invalid) as refusal:
            await store.session(SessionId(odd))
        assert refusal.value.code == "bad_id"
    await store.close()
