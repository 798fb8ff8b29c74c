"""Lowering and phases: what is given up in a running session, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.change import Change
from sojourn.core.charter import Phase, apply
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import CharterId, SessionId
from sojourn.core.record import RowKind
from sojourn.core.session import request
from sojourn.services.enter_phase import EnterPhase
from sojourn.services.lower_grants import LowerGrants
from sojourn.testing.fakes import Fault
from tests.services.rig import play
from tests.sim.world import KEY, Node, World

WRITER, READER = {"read": 1, "write": 1}, {"read": 1}


async def furnished(world: World, *, phases: tuple[Phase, ...] = ()) -> None:
    """The charter's database grant is a writer's; the target has a lesser template, too."""
    (charter,) = await world.store.charters()
    grants = charter.grants
    targets = tuple(replace(g, template="writer") if g.name == "db" else g for g in grants.targets)
    newer = replace(charter, id=CharterId("cha_2"), number=2, grants=replace(grants, targets=targets))
    await world.store.commit(Change(steps=(apply(replace(newer, phases=phases)),)))
    key = (RowKind.TARGET, "tgt_shop")
    world.store.rows[key] = replace(  # type: ignore[type-var]
        world.store.rows[key], templates={"writer": WRITER, "reader": READER, "odd": {"x": 1}}
    )


def lowering(world: World, process: Node) -> LowerGrants:
    return LowerGrants(
        process.store,
        world.clock,
        world.entropy,
        providers=process.providers,
        settings=world.settings,
    )


def test_a_lowered_grant_is_refused_first_and_then_taken_at_the_target() -> None:
    async def story(world: World, process: Node) -> None:
        await furnished(world)
        opened = (await world.open(process)).session

        session = await lowering(world, process)(opened.id, {"db": "reader"})
        lease = next(one for one in world.store.all_leases(opened.id) if one.grant == "db")
        assert (session.generation, lease.template, lease.narrowing) == (2, "reader", "writer")
        assert [one.min_generation for _, one in world.store.revocations] == [2]
        world.targets["shop"].fail_next("narrow", Fault.NO_EFFECT)
        await process.reap.run_once()
        assert next(one for one in world.store.all_leases(opened.id) if one.grant == "db").narrowing

        await world.clock.sleep(1)
        await process.reap.run_once()

        (account,) = world.targets["shop"].accounts.values()
        lease = next(one for one in world.store.all_leases(opened.id) if one.grant == "db")
        assert account.template == READER and account.connections == 1
        assert lease.narrowing is None and not world.store.errands

    play(story)


def test_nothing_is_added_and_nothing_unknown_is_lowered() -> None:
    async def story(world: World, process: Node) -> None:
        await furnished(world)
        opened = (await world.open(process)).session
        lower = lowering(world, process)

        for templates, error, code in (
            ({"db": "odd"}, Invalid, "not_narrower"),
            ({"db": "nothing"}, NotFound, "unknown_template"),
            ({"api": "reader"}, Invalid, "unknown_grant"),
            ({"none": "reader"}, Invalid, "unknown_grant"),
        ):
            with pytest.raises(error, match=code):
                await lower(opened.id, templates)

        assert not world.store.errands and not world.store.revocations

    play(story)


def test_a_descendant_that_holds_the_same_grant_is_lowered_in_the_same_commit() -> None:
    async def story(world: World, process: Node) -> None:
        await furnished(world)
        parent = (await world.open(process)).session
        child = replace(parent, id=SessionId("ses_child"), version=1, ancestors=(parent.id,), key="other")
        await process.store.commit(Change(steps=(request(child),)))

        await lowering(world, process)(parent.id, {"db": "reader"})

        templates = {one.id: one.grants.targets[0].template for one in world.store.all_sessions()}
        assert templates == {parent.id: "reader", child.id: "reader"}

    play(story)


def test_a_lease_that_leaves_while_it_is_narrowed_is_left_to_its_destruction() -> None:
    async def story(world: World, process: Node) -> None:
        await furnished(world)
        opened = (await world.open(process)).session
        await lowering(world, process)(opened.id, {"db": "reader"})
        await process.complete(opened.id, KEY)

        await process.reap.run_once()

        assert not world.targets["shop"].living() and not world.store.errands

    play(story)


PHASES = (Phase("build", ("api", "db", "post")), Phase("test", ("api", "db")), Phase("report", ("api",)))


def entering(world: World, process: Node) -> EnterPhase:
    return EnterPhase(process.store, world.clock, process.narrow)


def test_going_on_drops_what_the_next_phase_does_not_name() -> None:
    async def story(world: World, process: Node) -> None:
        await furnished(world, phases=PHASES)
        opened = (await world.open(process)).session

        second = await entering(world, process)(opened.id, "test")
        again = await entering(world, process)(opened.id, "test")
        await process.reap.run_once()

        assert (opened.phase, second.phase) == ("build", "test")
        assert second.grants.names() == {"api", "db"} and again == second
        assert not world.targets["mail"].living() and world.targets["shop"].living()

    play(story)


def test_phases_go_forward_only_and_must_be_the_charters() -> None:
    async def story(world: World, process: Node) -> None:
        await furnished(world, phases=PHASES)
        opened = (await world.open(process)).session
        enter = entering(world, process)
        last = await enter(opened.id, "report")

        with pytest.raises(Refused, match="would_widen"):
            await enter(opened.id, "build")
        with pytest.raises(Invalid, match="unknown_phase"):
            await enter(opened.id, "party")
        assert last.grants.names() == {"api"}

    play(story)


def test_a_session_is_not_born_with_what_its_first_phase_does_not_name() -> None:
    async def story(world: World, process: Node) -> None:
        await furnished(world, phases=PHASES[1:])

        opened = (await world.open(process)).session

        assert opened.phase == "test" and opened.grants.names() == {"api", "db"}
        with pytest.raises(Invalid, match="unknown_grant"):
            await world.open(process, "post")

    play(story)
