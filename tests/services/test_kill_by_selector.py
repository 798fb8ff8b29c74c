"""Orders to end many sessions: what they cover, what they spare, and that they are carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import pytest

from sojourn.core.change import Change, RevocationKind
from sojourn.core.client import Client
from sojourn.core.ending import Reason
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import ClientId, OwnerId, SessionId
from sojourn.core.kill import KillState, Selects
from sojourn.core.record import RowKind
from sojourn.core.session import Session, State, request
from sojourn.ports.store import KillFilter
from sojourn.services.carry_out_kills import CarryOutKills
from sojourn.services.offboard_owner import OffboardOwner
from sojourn.services.order_kill import OrderKill
from sojourn.services.remove_client import RemoveClient
from tests.services.rig import play
from tests.sim.laws import RecordingSigner
from tests.sim.scenarios import KILL as KILLED
from tests.sim.world import Node, World

OWNER = "team"


def ordering(world: World, process: Node) -> OrderKill:
    return OrderKill(process.store, world.clock, world.entropy, world.settings)


def carrying_out(world: World, process: Node) -> CarryOutKills:
    return CarryOutKills(process.store, world.clock, process.end)


def names_of(session: Session) -> dict[Selects, str]:
    return {
        Selects.CLIENT: "job",
        Selects.OWNER: session.owner,
        Selects.CHARTER: session.task.kind,
        Selects.TASK: f"{session.task.kind}:{session.task.ref}",
        Selects.TARGET: session.grants.targets[0].target,
        Selects.KEY: session.key,
        Selects.FAMILY: session.id,
        Selects.EVERYTHING: "*",
    }


@pytest.mark.parametrize("kind", list(Selects), ids=str)
def test_every_selector_ends_what_it_picks_for_the_cause_of_its_order(kind: Selects) -> None:
    async def story(world: World, process: Node) -> None:
        opened = (await world.open(process)).session
        order = ordering(world, process)
        name = world.client.name if kind is Selects.CLIENT else names_of(opened)[kind]

        counted = await order.count(kind, name)
        kill = await order(kind, name, by="client:ada", detail="leak", confirm="everything")
        ended = await carrying_out(world, process).run_once()

        found = world.store.all_sessions()[0]
        assert counted.sessions == {State.ACTIVE: 1} and ended == 1
        assert found.state is State.REVOKING and found.cause == kill.cause
        assert (await process.store.kill(kill.id) or kill).state is KillState.FINISHED

    play(story)


def test_an_order_is_one_numbered_entry_however_many_sessions_it_covers() -> None:
    async def story(world: World, process: Node) -> None:
        for _ in range(5):
            await world.open(process)

        kill = await ordering(world, process)(Selects.CLIENT, world.client.name, by="ada")

        assert [(n, one.kind, one.id) for n, one in world.store.revocations] == [
            (kill.n, RevocationKind.CLIENT, world.client.id)
        ]

    play(story)


def test_a_session_asked_for_after_the_order_is_spared_and_its_tokens_too() -> None:
    async def story(world: World, process: Node) -> None:
        before = (await world.open(process)).session
        kill = await ordering(world, process)(Selects.CLIENT, world.client.name, by="ada")
        after = (await world.open(process)).session

        await carrying_out(world, process).run_once()

        states = {one.id: one.state for one in world.store.all_sessions()}
        assert states == {before.id: State.REVOKING, after.id: State.ACTIVE}
        assert before.mark_n < (kill.n or 0) <= after.mark_n

    play(story)


def test_a_session_that_landed_while_the_order_did_is_ended_when_it_is_activated() -> None:
    async def story(world: World, process: Node) -> None:
        opening = await process.open(world.ask())
        kill = await ordering(world, process)(Selects.OWNER, opening.session.owner, by="ada")

        with pytest.raises(Refused, match="session_ended"):
            await process.activate(opening.session)

        (found,) = world.store.all_sessions()
        assert found.state in (State.REVOKING, State.ENDED) and found.cause == kill.cause

    play(story)


def test_a_beat_under_an_order_brings_only_tokens_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[int] = []
    whole = RecordingSigner.sign

    def sign(self: RecordingSigner, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        mark = claims["mark"]
        assert isinstance(mark, dict)
        marks.append(mark["n"])
        return whole(self, header, claims)

    monkeypatch.setattr(RecordingSigner, "sign", sign)

    async def story(world: World, process: Node) -> None:
        opened = (await world.open(process)).session
        kill = await ordering(world, process)(Selects.CLIENT, world.client.name, by="ada")

        beat = await process.beat(opened.id, opened.key)

        assert beat.tokens
        assert kill.n is not None
        assert max(marks) < kill.n

    play(story)


def test_an_order_whose_number_was_lost_is_adopted_and_carried_out() -> None:
    async def story(world: World, process: Node) -> None:
        await world.open(process)
        kill = await ordering(world, process)(Selects.OWNER, world.store.all_sessions()[0].owner, by="ada")
        key = (RowKind.KILL, kill.id)
        world.store.rows[key] = replace(kill, n=None)
        worker = carrying_out(world, process)

        assert await worker.run_once() == 0  # whoever ordered may still be at it
        await world.clock.sleep(3)

        assert await worker.run_once() == 1
        (found,) = await process.store.kills(KillFilter())
        assert found.state is KillState.FINISHED

    play(story)


def test_what_is_not_confirmed_or_not_there_is_refused_and_changes_nothing() -> None:
    async def story(world: World, process: Node) -> None:
        await world.open(process)
        order = ordering(world, process)

        with pytest.raises(Invalid, match="not_confirmed"):
            await order(Selects.EVERYTHING, "*", by="ada", confirm="yes")
        with pytest.raises(NotFound, match="unknown_client"):
            await order(Selects.CLIENT, "nobody", by="ada")
        with pytest.raises(NotFound, match="unknown_charter"):
            await order(Selects.CHARTER, "nothing", by="ada")
        with pytest.raises(Invalid, match="bad_selector"):
            await order(Selects.TASK, "demo", by="ada")

        assert not world.store.revocations and not await process.store.kills(KillFilter())

    play(story)


def test_opens_that_race_an_order_either_end_or_carry_a_later_mark() -> None:
    async def story(world: World, process: Node) -> None:
        order, worker = ordering(world, process), carrying_out(world, process)

        async def opening() -> None:
            with suppress(Refused):  # it landed while the order did
                await world.open(process)

        racing = [asyncio.ensure_future(opening()) for _ in range(20)]
        kill = await order(Selects.OWNER, OWNER, by="ada")
        await asyncio.gather(*racing)
        await worker.run_once()

        assert kill.n is not None
        for session in world.store.all_sessions():
            covered = session.mark_n < kill.n
            assert covered == (session.state in (State.REVOKING, State.ENDED)), session

    play(story)


def test_many_ends_fall_back_to_single_ones_when_a_row_moved() -> None:
    async def story(world: World, process: Node) -> None:
        opened = [(await world.open(process)).session for _ in range(3)]
        stale = replace(opened[0], version=opened[0].version - 1)

        await process.end.many([stale, *opened[1:]], replace(KILLED, detail="stale"))

        assert {one.state for one in world.store.all_sessions()} == {State.REVOKING}

    play(story)


def offboarding(world: World, process: Node) -> OffboardOwner:
    store, order = process.store, ordering(world, process)
    return OffboardOwner(store, order, RemoveClient(store, world.clock, order))


def test_an_offboarded_owner_leaves_no_session_no_caller_and_no_charter() -> None:
    async def story(world: World, process: Node) -> None:
        await world.open(process)
        other = replace(world.client, id=ClientId("cli_other"), name="other", owner=OwnerId("elsewhere"))
        offboard = offboarding(world, process)

        seen = await offboard.look(OWNER)
        done = await offboard(OWNER, by=other)
        await carrying_out(world, process).run_once()

        found = world.store.all_sessions()[0]
        assert len(seen.counts) == 1 + len(done.clients) and len(done.kills) == len(seen.counts)
        assert found.cause is not None and found.cause.reason is Reason.OWNER_LEFT
        await world.clock.sleep(1)
        with pytest.raises(Refused, match="owner_left"):
            await world.open(process)

    play(story)


def test_nobody_offboards_itself() -> None:
    async def story(world: World, process: Node) -> None:
        own: Client = world.client
        offboard = offboarding(world, process)

        with pytest.raises(Refused, match="offboards_itself"):
            await offboard(own.owner, by=own)

    play(story)


def test_descendants_end_with_their_elders_for_a_cause_of_their_own() -> None:
    async def story(world: World, process: Node) -> None:
        parent = (await world.open(process)).session
        child = replace(parent, id=SessionId("ses_child"), version=1, ancestors=(parent.id,), key="another")
        await process.store.commit(Change(steps=(request(child),)))

        await ordering(world, process)(Selects.KEY, parent.key, by="ada")
        await carrying_out(world, process).run_once()

        causes = {one.id: one.cause for one in world.store.all_sessions()}
        assert (causes[child.id] or KILLED).reason is Reason.PARENT_ENDED

    play(story)
