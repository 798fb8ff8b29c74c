"""Use against budget: a spent one ends the session, and what was never used is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.change import Change
from sojourn.core.charter import Budget, apply
from sojourn.core.client import Client, Role
from sojourn.core.ending import Reason
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import CharterId, ClientId, OwnerId
from sojourn.core.lease import Counted
from sojourn.core.session import Session, State
from sojourn.core.usage import Amounts
from sojourn.services.weigh_usage import CHUNK_LIFE, WeighUsage
from sojourn.testing.fakes import Fault
from tests.services.rig import play
from tests.sim.world import Node, World


def weighing(world: World, process: Node) -> WeighUsage:
    return WeighUsage(process.store, world.clock, world.entropy, process.end)


def guard(world: World, audience: str = "https://api") -> Client:
    now = world.clock.now()
    return Client(ClientId("cli_g"), 1, "g", Role.GUARD, OwnerId("ops"), {}, "t", now, audience)


async def budgeted(world: World, budget: Budget) -> None:
    (charter,) = await world.store.charters()
    newer = replace(charter, id=CharterId("cha_2"), number=2, budget=budget)
    await world.store.commit(Change(steps=(apply(newer),)))


def test_a_budget_that_is_spent_ends_the_session_once_nothing_can_come_back() -> None:
    async def story(world: World, process: Node) -> None:
        await budgeted(world, Budget(calls=10))
        opened = (await world.open(process)).session
        weigh, one = weighing(world, process), guard(world)

        part = await weigh.reserve(opened.id, one, Amounts(calls=25))
        with pytest.raises(Refused, match="budget_spent"):
            await weigh.reserve(opened.id, one, Amounts(calls=1))
        assert part.given.calls == 10 and world.store.all_sessions()[0].state is State.ACTIVE
        await weigh.report(opened.id, one, Amounts(calls=10), chunk=part.chunk, actions={"read": 10})

        ended = world.store.all_sessions()[0]
        assert ended.cause is not None and ended.cause.reason is Reason.BUDGET_SPENT

    play(story)


def test_a_forwarded_call_that_was_refused_here_uses_nothing() -> None:
    async def story(world: World, process: Node) -> None:
        await budgeted(world, Budget(calls=1))
        opened = (await world.open(process)).session
        weigh = weighing(world, process)

        refused = await weigh.begin_call(opened, "orders GET")
        refused.left = False
        await weigh.end_call(refused)
        call = await weigh.begin_call(opened, "orders POST")
        call.failed = False
        await weigh.end_call(call)

        weighed = await weigh.weigh(opened)
        assert (weighed.usage.spent.calls, weighed.usage.actions) == (1, {"orders POST": 1})
        ended = world.store.all_sessions()[0]
        assert ended.cause is not None and ended.cause.reason is Reason.BUDGET_SPENT

    play(story)


def test_a_forwarded_answer_that_outlives_its_chunk_is_named_and_stays_spent() -> None:
    async def story(world: World, process: Node) -> None:
        await budgeted(world, Budget(calls=2))
        opened = (await world.open(process)).session
        weigh = weighing(world, process)

        call = await weigh.begin_call(opened, "orders GET")
        await world.clock.sleep(CHUNK_LIFE.total_seconds() + 1.0)
        await weigh.end_call(call)

        usage = (await weigh.weigh(opened)).usage
        assert (usage.spent.calls, usage.actions, usage.failed) == (1, {"orders GET": 1}, 1)

    play(story)


def test_a_chunk_nobody_reported_is_spent_and_ends_the_session_when_more_is_wanted() -> None:
    async def story(world: World, process: Node) -> None:
        await budgeted(world, Budget(calls=5))
        opened = (await world.open(process)).session
        weigh, one = weighing(world, process), guard(world)
        await weigh.reserve(opened.id, one, Amounts(calls=5))
        await process.beat(opened.id, opened.key)
        await world.clock.sleep(19)

        with pytest.raises(Refused, match="budget_spent"):
            await weigh.reserve(opened.id, one, Amounts(calls=1))
        assert world.store.all_sessions()[0].state is State.ACTIVE

    play(story)


def test_nothing_need_be_reserved_without_a_budget_and_use_is_counted() -> None:
    async def story(world: World, process: Node) -> None:
        opened = (await world.open(process)).session
        weigh, one = weighing(world, process), guard(world)

        part = await weigh.reserve(opened.id, one, Amounts(calls=25))
        await weigh.report(opened.id, one, Amounts(calls=3), chunk=None, actions={"read": 3})
        found = await weigh.weigh(opened)

        assert (part.chunk, part.limited) == (None, False)
        assert found.usage.actions == {"https://api read": 3} and found.unused == ("https://api write",)

    play(story)


def test_a_guard_sees_and_spends_only_what_is_granted_at_its_audience() -> None:
    async def story(world: World, process: Node) -> None:
        await budgeted(world, Budget(calls=10))
        opened = (await world.open(process)).session
        weigh, stranger = weighing(world, process), guard(world, "https://other")

        with pytest.raises(NotFound):
            await weigh.reserve(opened.id, stranger, Amounts(calls=1))
        with pytest.raises(Invalid, match="chunk_expected"):
            await weigh.report(opened.id, guard(world), Amounts(calls=1), chunk=None, actions={})

    play(story)


def test_an_ended_session_reserves_nothing() -> None:
    async def story(world: World, process: Node) -> None:
        opened = (await world.open(process)).session
        await process.complete(opened.id, opened.key)

        with pytest.raises(Refused, match="session_ended"):
            await weighing(world, process).reserve(opened.id, guard(world), Amounts(calls=1))

    play(story)


def test_a_session_that_nobody_uses_ends_at_a_beat_and_one_that_is_used_goes_on() -> None:
    async def story(world: World, process: Node) -> None:
        (charter,) = await world.store.charters()
        newer = replace(charter, id=CharterId("cha_2"), number=2, idle=timedelta(seconds=8))
        await world.store.commit(Change(steps=(apply(newer),)))
        used, unused = (await world.open(process)).session, (await world.open(process)).session
        await world.clock.sleep(6)
        await weighing(world, process).report(
            used.id, guard(world), Amounts(calls=1), chunk=None, actions={"read": 1}
        )
        await world.clock.sleep(3)

        beat = await process.beat(used.id, used.key)
        with pytest.raises(Refused, match="session_ended"):
            await process.beat(unused.id, unused.key)

        ended = next(one for one in world.store.all_sessions() if one.id == unused.id)
        assert beat.session.state is State.ACTIVE and ended.cause is not None
        assert ended.cause.reason is Reason.IDLE

    play(story)


async def ended(world: World, process: Node, session: Session) -> None:
    await process.complete(session.id, session.key)
    await process.reap.run_once()


def test_what_targets_counted_is_told_with_the_end_and_what_they_never_saw_used_is_named() -> None:
    async def story(world: World, process: Node) -> None:
        opened = (await world.open(process)).session
        by_target = {one.target_name: one.handle for one in await world.store.leases(opened.id)}
        world.targets["shop"].counted = {by_target["shop"]: Counted(7, 120)}
        world.targets["mail"].counted = {}

        before = await weighing(world, process).weigh(opened)
        await ended(world, process, opened)
        weighed = await weighing(world, process).weigh(opened)

        assert (before.counted, "post" in before.unused) == ({}, False), "nothing is known before the end"
        assert weighed.counted == {"db": Counted(7, 120), "post": Counted(0, 0)}
        assert "post" in weighed.unused and "db" not in weighed.unused
        kept = {one.target_name: one.used for one in await world.store.leases(opened.id)}
        assert kept == {"shop": Counted(7, 120), "mail": Counted(0, 0)}

    play(story)


@pytest.mark.parametrize("fault", [Fault.UNSENT, Fault.NO_EFFECT, Fault.LOST_ANSWER])
def test_a_target_that_cannot_say_what_was_used_holds_up_no_end(fault: Fault) -> None:
    async def story(world: World, process: Node) -> None:
        opened = (await world.open(process)).session
        for target in world.targets.values():
            target.counted = {}
            target.fail_next("count", fault)

        await ended(world, process, opened)
        weighed = await weighing(world, process).weigh(opened)

        assert world.store.all_sessions()[0].state is State.ENDED
        assert (weighed.counted, {"db", "post"} & set(weighed.unused)) == ({}, set()), "unknown is not unused"

    play(story)
