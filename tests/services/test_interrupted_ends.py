"""An end that takes several commits: whoever dies between two of them leaves no access behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

import pytest

from sojourn.core.approval import ApprovalState
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Refused
from sojourn.core.session import LEAVING, Session
from sojourn.services.mint_tokens import Token
from sojourn.services.remove_client import RemoveClient
from tests.services.rig import play
from tests.services.test_approvals import Desk
from tests.services.test_kill_by_selector import carrying_out, offboarding, ordering
from tests.services.test_signals import RUN, Rig
from tests.sim.gates import Crashed
from tests.sim.scenarios import EVIDENCE
from tests.sim.world import KEY, Node, World

Work = Callable[[], Awaitable[object]]


async def dies(world: World, process: Node, commits: int, work: Work) -> bool:
    """Do `work` in a process that dies when so many commits have landed; whether it did."""
    left = iter(range(commits - 1))

    def after_commit(_: Change) -> None:
        if next(left, None) is None:
            process.crash()

    if commits == 0:
        process.crash()
    world.store.watches.append(after_commit)
    try:
        await work()
    except Crashed:
        return True
    finally:
        world.store.watches.remove(after_commit)
    return process.dead


def at_every_commit(story: Callable[[int, World, Node], Awaitable[bool]]) -> int:
    """Tell `story` with one commit more each time until nobody dies; how many commits there are."""
    lived = next(commits for commits in count() if not play(partial(story, commits)))
    return lived - 1


def the_session(world: World) -> Session:
    (session,) = world.store.all_sessions()
    return session


async def settle(world: World, process: Node) -> bool:
    """Carry out what is on record; whether the client is removed, and then its session is leaving."""
    await world.clock.sleep(5)
    await carrying_out(world, process).run_once()
    client = await process.store.client(world.client.id)
    assert client is not None
    assert client.removed_at is None or the_session(world).state in LEAVING
    return client.removed_at is not None


def test_no_session_outlives_a_yes_that_was_taken_back() -> None:
    async def story(commits: int, world: World, process: Node) -> bool:
        desk = Desk(world, process)
        await desk.furnish()
        session, asked = await desk.open()
        for name in ("ada", "carol"):
            await desk.say(asked, name)
        await desk.come(session)
        ada = desk.people["ada"]

        died = await dies(world, process, commits, lambda: desk.approve.withdraw(asked.id, ada))

        successor = world.start(worker=False)
        left = await successor.store.approval(asked.id)
        assert left is not None
        if left.state is ApprovalState.APPROVED:
            await Desk(world, successor).approve.withdraw(asked.id, ada)
        assert the_session(world).state in LEAVING
        return died

    assert at_every_commit(story) == 2


@pytest.mark.parametrize("active", [True, False], ids=["active", "approved"])
def test_no_session_outlives_its_client(*, active: bool) -> None:
    async def story(commits: int, world: World, process: Node) -> bool:
        opening = await process.open(world.ask())
        if active:
            await process.activate(opening.session)
        remove = RemoveClient(process.store, world.clock, ordering(world, process))

        died = await dies(world, process, commits, lambda: remove(world.client.id, by="client:ada"))

        removed = await settle(world, world.start(worker=False))
        assert removed == (commits > 0)
        return died

    assert at_every_commit(story) == 2


def test_no_session_outlives_the_client_of_an_owner_who_left() -> None:
    async def story(commits: int, world: World, process: Node) -> bool:
        desk = Desk(world, process)
        await desk.furnish()  # from here on the charter is of another owner than the client
        await desk.approve_template()
        opening = await process.open(world.ask())
        await process.activate(opening.session)
        owner, ada = world.client.owner, desk.people["ada"]

        died = await dies(world, process, commits, lambda: offboarding(world, process)(owner, by=ada))

        successor = world.start(worker=False)
        if not await settle(world, successor):
            await offboarding(world, successor)(owner, by=ada)
            assert await settle(world, successor)
        return died

    assert at_every_commit(story) == 6  # the owner and two callers, each an order and its number


@pytest.mark.parametrize("comes_by", ["beat", "resume"])
def test_what_was_reported_over_ends_when_it_comes_again(comes_by: str) -> None:
    async def story(commits: int, world: World, process: Node) -> bool:
        rig = Rig(world, process)
        await rig.furnish("said")
        await rig.open()
        session = the_session(world)
        if comes_by == "resume":
            await process.suspend(session.id, Cause(Reason.KILLED, "client:ada"))
            await world.start(worker=False).reap.run_once()

        died = await dies(world, process, commits, rig.say)

        successor = world.start(worker=False)
        successor.vouch.observed = RUN

        async def again() -> tuple[Token, ...]:
            if comes_by == "beat":
                return (await successor.beat(session.id, KEY)).tokens
            return (await successor.resume(session.id, EVIDENCE, KEY)).tokens

        if commits == 0:  # the platform was told that its news was not taken
            assert await again()
        else:
            with pytest.raises(Refused, match="session_ended"):
                await again()
            assert the_session(world).state in LEAVING
        return died

    assert at_every_commit(story) == 2


def test_news_of_several_jobs_is_known_of_all_or_of_none() -> None:
    async def story(commits: int, world: World, process: Node) -> bool:
        rig = Rig(world, process)
        await rig.furnish("said")
        for run in ("7", "8"):
            await rig.open(**{"github.run_id": run})

        died = await dies(world, process, commits, partial(rig.say, **{"github.run_id": "7 8"}))

        successor = world.start(worker=False)
        for session in world.store.all_sessions():
            successor.vouch.observed = dict(session.context)
            if commits == 0:  # the platform was told that its news was not taken
                assert (await successor.beat(session.id, KEY)).tokens
            else:
                with pytest.raises(Refused, match="session_ended"):
                    await successor.beat(session.id, KEY)
        states = {session.state in LEAVING for session in world.store.all_sessions()}
        assert states == {commits > 0}
        return died

    assert at_every_commit(story) == 3  # the news, and two ends
