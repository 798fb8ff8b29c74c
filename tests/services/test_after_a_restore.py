"""After a restore nothing old goes on by itself: no token, no end, no credential, until somebody looked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Refused, TargetError
from sojourn.core.session import BeatRule, State
from sojourn.ports.provider import Outgoing
from sojourn.services.forward_request import ForwardRequest
from sojourn.services.reconcile_sessions import ReconcileSessions
from sojourn.services.weigh_usage import WeighUsage
from sojourn.testing.fakes import FakeProviders
from tests.services.rig import play
from tests.sim.scenarios import EVIDENCE, KILL
from tests.sim.world import KEY, Node, QuietBell, World

FREEZE = Cause(Reason.SUSPENDED, "ops")


async def restored(world: World) -> None:
    """The database was put back: its targets and its living sessions wait."""
    world.store.waiting = {one.id for one in await world.store.targets()}
    world.store.waiting_sessions = {one.id for one in world.store.all_sessions()}


@pytest.mark.parametrize("grants", [(), ("db",)], ids=["also at targets", "at one target"])
def test_a_session_of_before_gets_no_token_until_an_operator_says_so(grants: tuple[str, ...]) -> None:
    async def story(world: World, process: Node) -> None:
        session = (await world.open(process, *grants, "api")).session.id
        await restored(world)

        waiting = await process.beat(session, KEY)
        world.store.waiting.clear()
        targets_alone = await process.beat(session, KEY)
        listed = await ReconcileSessions(process.store)(limit=9)
        await ReconcileSessions(process.store).apply(by="ada")
        let_go = await process.beat(session, KEY)

        assert waiting.tokens == targets_alone.tokens == () and waiting.session.state is State.ACTIVE
        assert list(listed) == [session] and len(let_go.tokens) == 1

    play(story)


def test_a_session_that_was_killed_meanwhile_is_not_listed() -> None:
    async def story(world: World, process: Node) -> None:
        session = (await world.open(process)).session.id
        await restored(world)

        await process.end(session, KILL)

        assert list(await ReconcileSessions(process.store)(limit=9)) == []

    play(story)


def test_a_suspended_session_of_before_is_not_resumed() -> None:
    async def story(world: World, process: Node) -> None:
        session = (await world.open(process, "db")).session.id
        await process.suspend(session, FREEZE)
        await process.reap.run_once()
        await restored(world)
        world.store.waiting.clear()

        with pytest.raises(Refused) as refusal:
            await process.resume(session, EVIDENCE, KEY)

        assert refusal.value.code == "session_waits"
        assert world.store.all_sessions()[0].state is State.SUSPENDED

    play(story)


def test_a_waiting_target_opens_nothing_and_a_session_without_one_opens() -> None:
    async def story(world: World, process: Node) -> None:
        await restored(world)

        with pytest.raises(Refused) as refusal:
            await world.open(process, "db")
        other = await world.open(process, "api")

        assert refusal.value.code == "target_not_ready"
        assert [one.state for one in world.store.all_sessions()] == [State.ACTIVE]
        assert len((await process.beat(other.session.id, KEY)).tokens) == 1

    play(story)


def test_deadlines_do_not_act_on_what_is_held_in_a_waiting_target() -> None:
    async def story(world: World, process: Node) -> None:
        await world.open(process, "db", seconds=5)
        await restored(world)
        await world.clock.sleep(60)

        paused = await process.sweep.run_once()
        still = world.store.all_sessions()[0].state
        world.store.waiting.clear()
        moved = await process.sweep.run_once()

        assert (paused, still, moved) == (0, State.ACTIVE, 1)
        assert world.store.all_sessions()[0].state is State.REVOKING

    play(story, beat=BeatRule(timedelta(seconds=1), timedelta(seconds=4)))


def test_many_that_wait_do_not_keep_the_sweep_from_those_that_do_not() -> None:
    async def story(world: World, process: Node) -> None:
        for _ in range(300):
            await world.open(process, "db", seconds=5)
        await restored(world)
        free = (await world.open(process, "api", seconds=5)).session.id
        await world.clock.sleep(60)

        moved = await process.sweep.run_once()

        found = await process.store.session(free)
        assert moved == 1 and found is not None and found.state is State.ENDED

    play(story)


def test_no_request_is_forwarded_for_a_session_of_before() -> None:
    async def story(world: World, process: Node) -> None:
        session = (await world.open(process, "db")).session.id
        usage = WeighUsage(process.store, world.clock, world.entropy, process.end)
        forward = ForwardRequest(process.store, world.clock, QuietBell(), FakeProviders({}), usage=usage)
        request = Outgoing("GET", "/", "", (), b"")
        await restored(world)

        with pytest.raises(Refused) as refusal:
            async with forward(session, "db", request):
                pytest.fail("it was let through")
        await ReconcileSessions(process.store).apply(by="ada")
        with pytest.raises(TargetError):  # it is sent on now, and nobody is there
            async with forward(session, "db", request):
                pytest.fail("there is no such target")

        assert refusal.value.code == "session_waits"

    play(story)
