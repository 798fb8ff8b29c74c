"""Successors: more access is a new session with its lineage on record, never a wider one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.ending import Reason
from sojourn.core.errors import NotFound, Refused
from sojourn.core.ids import ClientId, SessionId
from sojourn.core.record import RowKind
from sojourn.core.session import Session, State, Task
from tests.services.rig import play
from tests.sim.world import Node, World


async def _succeed(world: World, process: Node, named: SessionId, *grants: str, ref: str = "1") -> Session:
    asked = replace(world.ask(*grants), supersedes=named, task=Task("demo", ref))
    opening = await process.open(asked)
    return (await process.activate(opening.session)).session


@pytest.mark.parametrize("after", [(), ("api",), ("db",), ("api", "post")], ids=" ".join)
@pytest.mark.parametrize("before", [("api",), ("db",)], ids=" ".join)
def test_a_successor_that_is_active_ends_the_session_it_names(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    async def story(world: World, process: Node) -> None:
        first = (await world.open(process, *before)).session

        second = await _succeed(world, process, first.id, *after)

        states = {one.id: (one.state, one.cause) for one in world.store.all_sessions()}
        state, cause = states[first.id]
        assert state in (State.REVOKING, State.ENDED) and cause is not None
        assert (cause.reason, cause.source) == (Reason.SUPERSEDED, second.id)
        assert states[second.id][0] is State.ACTIVE and second.supersedes == first.id

    play(story)


def test_only_ones_own_living_session_of_the_same_task_is_superseded() -> None:
    async def story(world: World, process: Node) -> None:
        first = (await world.open(process)).session
        with pytest.raises(Refused, match="another_task"):
            await _succeed(world, process, first.id, ref="2")
        with pytest.raises(NotFound, match="unknown_session"):
            await _succeed(world, process, SessionId("ses_nobody"))
        await process.complete(first.id, first.key)
        with pytest.raises(Refused, match="session_ended"):
            await _succeed(world, process, first.id)
        other = replace(first, client=ClientId("cli_other"), state=State.ACTIVE)
        world.store.rows[RowKind.SESSION, first.id] = other
        with pytest.raises(NotFound, match="unknown_session"):
            await _succeed(world, process, first.id)

    play(story)
