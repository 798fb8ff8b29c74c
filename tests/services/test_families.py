"""Families: what a child gets, and that it shrinks, freezes and ends with its parent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.change import Once
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused
from sojourn.core.family import ChildWish
from sojourn.core.ids import SessionId
from sojourn.core.lease import LeaseState
from sojourn.core.session import Session, State
from sojourn.ports.attestor import Evidence
from sojourn.services.open_child import ChildRequest
from tests.services.rig import play
from tests.sim.world import KEY, Node, World

OPS = Cause(Reason.KILLED, "ops")
FREEZE = Cause(Reason.SUSPENDED, "ops")
EVIDENCE = Evidence("test", "")


def row(world: World, session: str) -> Session:
    return next(one for one in world.store.all_sessions() if one.id == session)


def test_a_child_has_a_key_and_credentials_of_its_own_within_its_parents() -> None:
    async def story(world: World, process: Node) -> None:
        parent = (await world.open(process)).session

        opened = await world.open_child(process, parent, "db")

        child = opened.session
        assert child.state is State.ACTIVE and child.ancestors == (parent.id,)
        assert child.key != parent.key and child.client == parent.client
        assert child.grants.names() == {"db"} and child.window.within(parent.window)
        assert world.use(opened) == 1

    play(story)


def test_the_end_of_a_parent_ends_every_descendant_in_the_same_commit() -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process)).session
        child = (await world.open_child(process, root)).session
        grandchild = (await world.open_child(process, child)).session
        facts = len(world.store.facts)

        await process.end(root.id, OPS)

        family = [row(world, one.id) for one in (root, child, grandchild)]
        assert {one.state for one in family} == {State.REVOKING}
        assert [one.cause.reason for one in family if one.cause] == ["killed", "parent_ended", "parent_ended"]
        assert {fact.at for fact in world.store.facts[facts:]} == {family[0].refused_at}
        for _ in range(3):
            await process.reap.run_once()
        assert {row(world, one.id).state for one in family} == {State.ENDED}
        assert not world.targets["shop"].living() and not world.targets["mail"].living()

    play(story)


def test_the_end_of_a_child_leaves_its_parent_alone() -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process)).session
        child = (await world.open_child(process, root)).session

        await process.complete(child.id, child.key)

        assert row(world, root.id).state is State.ACTIVE
        assert (await process.beat(root.id, KEY)).tokens

    play(story)


def test_narrowing_a_parent_narrows_its_descendants_in_the_same_commit() -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process)).session
        child = (await world.open_child(process, root)).session
        other = (await world.open_child(process, root, "post")).session
        grandchild = (await world.open_child(process, child, "db", "api")).session
        sooner = world.clock.now() + timedelta(seconds=9)

        await process.narrow(root.id, ("db",), ("write",), sooner)

        for one in (child, grandchild):
            after = row(world, one.id)
            assert after.generation == one.generation + 1
            assert "db" not in after.grants.names() and after.grants.actions_at("https://api") == ("read",)
            assert after.window.closes == sooner
            (gone,) = [lease for lease in world.store.all_leases(one.id) if lease.grant == "db"]
            assert gone.state is LeaseState.DESTROYING
        assert row(world, other.id).grants.names() == {"post"}

    play(story)


def test_suspending_a_parent_freezes_its_descendants_and_each_proves_itself_again() -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process, "db")).session
        child = (await world.open_child(process, root)).session
        unborn = await process.open_child(root.id, KEY, ChildRequest("k2"))

        await process.suspend(root.id, FREEZE)
        await process.reap.run_once()

        assert row(world, child.id).state is State.SUSPENDED
        assert row(world, unborn.session.id).state is State.ENDED
        assert not (await process.beat(child.id, child.key)).tokens
        with pytest.raises(Conflict):
            await process.resume(child.id, EVIDENCE, child.key)
        await process.resume(root.id, EVIDENCE, KEY)
        assert row(world, child.id).state is State.SUSPENDED, "each for itself"
        thawed = await process.resume(child.id, EVIDENCE, child.key)
        assert thawed.session.state is State.ACTIVE and world.use(thawed) == 1

    play(story)


@pytest.mark.parametrize("late", [False, True], ids=["ended", "past its window"])
def test_a_dead_parent_opens_nothing_and_its_children_get_nothing(late: bool) -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process, seconds=5)).session
        child = (await world.open_child(process, root, "db")).session
        unborn = await process.open_child(root.id, KEY, ChildRequest("k2", wish=ChildWish(("db",))))
        if late:
            await world.clock.sleep(6)
        else:
            await process.end(root.id, OPS)

        with pytest.raises(Refused):
            await process.open_child(root.id, KEY, ChildRequest("k3"))
        with pytest.raises(Refused):
            await process.beat(child.id, child.key)
        with pytest.raises((Refused, Conflict)):
            await process.activate(unborn.session)
        with pytest.raises(Refused):
            await process.open_child(child.id, child.key, ChildRequest("k4"))

    play(story)


def test_a_child_renews_within_its_parents_window_and_no_further() -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process, seconds=20)).session
        asked = ChildRequest("k2", wish=ChildWish(("api",), duration=timedelta(seconds=5)))
        child = (await process.activate((await process.open_child(root.id, KEY, asked)).session)).session

        await process.beat(root.id, KEY, renew=True)
        renewed = (await process.beat(child.id, child.key, renew=True)).session

        assert renewed.window.closes == child.window.closes + timedelta(seconds=10)
        assert renewed.window.within(row(world, root.id).window)
        await process.narrow(root.id, (), (), world.clock.now() + timedelta(seconds=8))
        assert row(world, child.id).window.closes == row(world, root.id).window.closes

    play(story)


def test_depth_and_number_of_living_children_are_bounded() -> None:
    async def story(world: World, process: Node) -> None:
        parent = (await world.open(process, "api")).session
        line = [parent]
        for _ in range(3):
            line.append((await world.open_child(process, line[-1])).session)
        with pytest.raises(Refused) as deep:
            await world.open_child(process, line[-1])
        second = (await world.open_child(process, parent)).session
        with pytest.raises(Refused) as many:
            await world.open_child(process, parent)

        await process.complete(second.id, second.key)

        assert (deep.value.code, many.value.code) == ("too_deep", "too_many_children")
        assert (await world.open_child(process, parent)).session.state is State.ACTIVE

    play(story)


def test_a_child_needs_its_parents_key_and_another_of_its_own() -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process)).session

        with pytest.raises(NotFound):
            await process.open_child(root.id, "another", ChildRequest("k2"))
        with pytest.raises(NotFound):
            await process.open_child(SessionId("ses_none"), KEY, ChildRequest("k2"))
        with pytest.raises(Invalid) as own:
            await process.open_child(root.id, KEY, ChildRequest(KEY))
        assert own.value.code == "own_key"

    play(story)


def test_a_repeated_call_gets_the_child_and_no_second_one() -> None:
    async def story(world: World, process: Node) -> None:
        root = (await world.open(process)).session
        asked = ChildRequest("k2", idempotency="i", request_hash="h")
        until = world.clock.now() + timedelta(seconds=80)

        first = await process.open_child(root.id, KEY, replace(asked, once=(Once("dpop", "1", until),)))
        second = await process.open_child(root.id, KEY, replace(asked, once=(Once("dpop", "2", until),)))

        assert second.repeated and second.session.id == first.session.id
        with pytest.raises(Refused):
            await process.open_child(root.id, KEY, replace(asked, once=(Once("dpop", "2", until),)))
        with pytest.raises(Invalid):
            await process.open_child(root.id, KEY, replace(asked, request_hash="other"))

    play(story)
