"""Ending, freezing, narrowing and reaping: what is proven before it is said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused
from sojourn.core.lease import LeaseState
from sojourn.core.session import BeatRule, State
from sojourn.testing.fakes import Fault
from tests.services.rig import play
from tests.sim.scenarios import EVIDENCE, KILL
from tests.sim.world import KEY, Node, World

FREEZE = Cause(Reason.SUSPENDED, "ops")
BOTH_FAILURES = pytest.mark.parametrize(
    "fault", [Fault.NO_EFFECT, Fault.LOST_ANSWER], ids=["lost", "done, but reported lost"]
)


def test_an_end_refuses_tokens_and_queues_every_lease_in_one_commit() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process)

        ended = await process.end(activation.session.id, KILL)

        leases = world.store.all_leases(ended.id)
        assert ended.state is State.REVOKING and ended.cause == KILL
        assert {one.state for one in leases} == {LeaseState.DESTROYING}
        assert len(world.store.errands) == 2 and len(world.store.revocations) == 1

    play(story)


def test_the_first_cause_wins_however_often_it_is_ended() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process)
        await process.end(activation.session.id, KILL)

        again = await process.complete(activation.session.id, KEY)

        assert again.cause == KILL and len(world.store.revocations) == 1

    play(story)


def test_only_the_holder_of_the_key_completes_a_session() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process)

        with pytest.raises(NotFound):
            await process.complete(activation.session.id, "another key")

        assert world.store.all_sessions()[0].state is State.ACTIVE

    play(story)


@BOTH_FAILURES
@pytest.mark.parametrize("method", ["destroy", "observe", "locate"])
def test_no_failure_makes_us_believe_a_credential_is_gone(method: str, fault: Fault) -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process, "db")
        await process.end(activation.session.id, KILL)
        world.targets["shop"].fail_next(method, fault)

        await process.reap.run_once()
        await world.clock.sleep(1)
        await process.reap.run_once()

        assert world.store.all_sessions()[0].state is State.ENDED
        assert not world.targets["shop"].living()

    play(story)


def test_a_delete_that_lies_is_found_out_by_looking() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process, "db")
        await process.end(activation.session.id, KILL)
        world.targets["shop"].fail_next("destroy", Fault.LIE)

        await process.reap.run_once()

        assert world.store.all_sessions()[0].state is State.REVOKING

    play(story)


def test_what_owns_objects_stays_on_record_as_a_residual_that_names_them() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process, "db")
        next(iter(world.targets["shop"].accounts.values())).owns = True
        await process.end(activation.session.id, KILL)

        await process.reap.run_once()

        (lease,) = world.store.all_leases(activation.session.id)
        assert lease.state is LeaseState.DESTROYING
        assert lease.residual is not None and "public.kept" in lease.residual.place
        assert lease.residual.owner == "team"

    play(story)


def test_a_suspended_session_is_resumed_only_when_everything_is_frozen() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process, "db")
        session = activation.session.id
        await process.suspend(session, FREEZE)

        with pytest.raises(Conflict) as refusal:
            await process.resume(session, EVIDENCE, KEY)
        await process.reap.run_once()
        dead = world.use(activation)
        resumed = await process.resume(session, EVIDENCE, KEY)

        assert refusal.value.code == "still_freezing"
        assert dead == 0 and world.use(activation) == 0, "the old secret stays dead"
        assert world.use(resumed) == 1 and resumed.session.generation == 3

    play(story)


@BOTH_FAILURES
def test_a_thaw_that_fails_ends_the_session(fault: Fault) -> None:
    async def story(world: World, process: Node) -> None:
        session = (await world.open(process, "db")).session.id
        await process.suspend(session, FREEZE)
        await process.reap.run_once()
        world.targets["shop"].fail_next("thaw", fault)

        with pytest.raises(Exception, match="target_lost"):
            await process.resume(session, EVIDENCE, KEY)

        assert world.store.all_sessions()[0].state is State.REVOKING

    play(story)


def test_narrowing_destroys_what_was_dropped_and_keeps_the_rest() -> None:
    async def story(world: World, process: Node) -> None:
        session = (await world.open(process)).session.id

        narrowed = await process.narrow(session, ("db",), ("write",))
        await process.reap.run_once()

        states = {one.grant: one.state for one in world.store.all_leases(session)}
        assert states == {"db": LeaseState.DESTROYED, "post": LeaseState.ISSUED}
        assert narrowed.generation == 2 and narrowed.grants.actions_at("https://api") == ("read",)
        assert world.store.all_sessions()[0].state is State.ACTIVE

    play(story)


def test_narrowing_to_an_end_in_the_past_or_beyond_the_window_is_refused() -> None:
    async def story(world: World, process: Node) -> None:
        opened = await world.open(process)

        with pytest.raises(Invalid) as past:
            await process.narrow(opened.session.id, (), (), world.clock.now())
        with pytest.raises(Refused) as wider:
            await process.narrow(
                opened.session.id, (), (), opened.session.window.closes + timedelta(seconds=1)
            )

        assert past.value.code == "closes_in_past" and wider.value.code == "would_widen"

    play(story)


def test_silence_ends_a_session_at_its_bound_and_not_before() -> None:
    async def story(world: World, process: Node) -> None:
        await world.open(process, "db", seconds=60)
        await world.clock.sleep(3.8)
        early = await process.sweep.run_once()
        await world.clock.sleep(0.3)

        late = await process.sweep.run_once()

        cause = world.store.all_sessions()[0].cause
        assert (early, late) == (0, 1)
        assert cause is not None and cause.reason is Reason.MISSED_BEAT

    play(story, beat=BeatRule(timedelta(seconds=1), timedelta(seconds=4)))


def test_a_session_nobody_came_for_is_ended() -> None:
    async def story(world: World, process: Node) -> None:
        await process.open(world.ask(seconds=600))
        await world.clock.sleep(61)

        await process.sweep.run_once()

        (session,) = world.store.all_sessions()
        assert session.state is State.ENDED
        assert session.cause is not None and session.cause.reason is Reason.NOT_ACTIVATED

    play(story)


def test_a_beat_after_the_end_is_told_so_and_a_suspended_one_gets_no_tokens() -> None:
    async def story(world: World, process: Node) -> None:
        session = (await world.open(process)).session.id
        alive = await process.beat(session, KEY)
        await process.suspend(session, FREEZE)
        frozen = await process.beat(session, KEY)
        await process.end(session, KILL)

        with pytest.raises(Refused) as refusal:
            await process.beat(session, KEY)

        assert len(alive.tokens) == 1 and frozen.tokens == ()
        assert refusal.value.code == "session_ended"

    play(story)
