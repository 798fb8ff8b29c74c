"""An end that takes several commits: whoever dies between two of them leaves no access behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from sojourn.core.approval import ApprovalState
from sojourn.core.change import Change
from sojourn.core.errors import Refused, Unavailable
from sojourn.core.session import LEAVING, Session
from sojourn.ports.store import Head
from sojourn.services.carry_out_kills import CarryOutKills
from sojourn.services.offboard_owner import OffboardOwner
from sojourn.services.order_kill import OrderKill
from sojourn.services.remove_client import RemoveClient
from tests.services.rig import play
from tests.services.test_approvals import Desk
from tests.services.test_signals import Rig
from tests.sim.world import KEY, Node, World

Work = Callable[[], Awaitable[object]]


async def die_after(world: World, commits: int, work: Work) -> bool:
    """Do `work` with a store that is gone after so many commits; whether it was interrupted."""
    store, left = world.store, iter(range(commits))
    whole = store.commit

    async def commit(change: Change) -> Head:
        if next(left, None) is None:
            raise Unavailable("store_unavailable", "gone")
        return await whole(change)

    store.commit = commit  # type: ignore[method-assign]
    try:
        await work()
    except Unavailable:
        return True
    finally:
        store.commit = whole  # type: ignore[method-assign]
    return False


def at_every_commit(story: Callable[[World, Node, int], Awaitable[bool]]) -> int:
    """Tell `story` with one commit more each time until nothing interrupts it; how often it was."""
    for commits in count():
        if not play(lambda world, process, commits=commits: story(world, process, commits)):  # type: ignore[misc]
            return commits
    raise AssertionError


def the_session(world: World) -> Session:
    (session,) = world.store.all_sessions()
    return session


def test_no_session_outlives_a_yes_that_was_taken_back() -> None:
    async def story(world: World, process: Node, commits: int) -> bool:
        desk = Desk(world, process)
        await desk.furnish()
        session, asked = await desk.open()
        for name in ("ada", "carol"):
            await desk.say(asked, name)
        await desk.come(session)

        interrupted = await die_after(
            world, commits, lambda: desk.approve.withdraw(asked.id, desk.people["ada"])
        )

        left = await process.store.approval(asked.id)
        assert left is not None
        assert left.state is ApprovalState.APPROVED or the_session(world).state in LEAVING
        if interrupted:
            await desk.approve.withdraw(asked.id, desk.people["ada"])
        assert the_session(world).state in LEAVING
        return interrupted

    assert at_every_commit(story) == 2


@pytest.mark.parametrize("waits", [False, True], ids=["active", "approved"])
def test_no_session_outlives_its_client(*, waits: bool) -> None:
    async def story(world: World, process: Node, commits: int) -> bool:
        store, clock, entropy, settings = process.store, world.clock, world.entropy, world.settings
        remove = RemoveClient(store, clock, process.end, OrderKill(store, clock, entropy, settings))
        opening = await process.open(world.ask())
        if not waits:
            await process.activate(opening.session)

        interrupted = await die_after(world, commits, lambda: remove(world.client.id, by="client:ada"))

        await clock.sleep(5)
        await CarryOutKills(store, clock, process.end).run_once()
        client = await store.client(world.client.id)
        assert client is not None
        assert client.removed_at is None or the_session(world).state in LEAVING
        assert (client.removed_at is None) == (commits == 0)
        return interrupted

    assert at_every_commit(story) == 3


def test_no_session_outlives_the_client_of_an_owner_who_left() -> None:
    async def story(world: World, process: Node, commits: int) -> bool:
        store, clock, entropy, settings = process.store, world.clock, world.entropy, world.settings
        desk = Desk(world, process)
        await desk.furnish()  # from here on the charter is of another owner than the client
        await desk.approve_template()
        opening = await process.open(world.ask())
        await process.activate(opening.session)
        offboard = OffboardOwner(store, clock, OrderKill(store, clock, entropy, settings))

        interrupted = await die_after(
            world, commits, lambda: offboard(world.client.owner, by=desk.people["ada"])
        )

        async def settled() -> bool:
            await clock.sleep(5)
            await CarryOutKills(store, clock, process.end).run_once()
            client = await store.client(world.client.id)
            assert client is not None
            assert client.removed_at is None or the_session(world).state in LEAVING
            return client.removed_at is not None

        if not await settled():
            await offboard(world.client.owner, by=desk.people["ada"])
            assert await settled()
        return interrupted

    assert at_every_commit(story) == 6


def test_a_beat_ends_what_was_reported_over_to_somebody_who_died() -> None:
    async def story(world: World, process: Node, commits: int) -> bool:
        rig = Rig(world, process)
        await rig.furnish("said")
        await rig.open()
        session = the_session(world)

        interrupted = await die_after(world, commits, rig.say)

        if commits == 0:  # the platform was told that its news was not taken
            assert (await process.beat(session.id, KEY)).tokens
        else:
            with pytest.raises(Refused, match="session_ended"):
                await process.beat(session.id, KEY)
            assert the_session(world).state in LEAVING
        return interrupted

    assert at_every_commit(story) == 2
