"""Stories with every kind of trouble in them; each ends in a world that is then healed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import SojournError
from sojourn.core.ids import SessionId
from sojourn.core.session import BeatRule, State
from sojourn.ports.attestor import Evidence
from tests.sim.world import KEY, Node, World, living

Scenario = Callable[[World], Awaitable[None]]

KILL: Final = Cause(Reason.KILLED, "ops")
EVIDENCE: Final = Evidence("test", "")


async def _try(work: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
    """What `work` answers; an error of ours is an answer too.

    Begun only here: of a process that dies before its first step, nothing is left behind.
    """
    try:
        return await work(*args, **named)
    except SojournError:
        return None


async def _kill_all(world: World, process: Node) -> None:
    for session in world.store.all_sessions():
        await _try(process.end, session.id, KILL)


async def open_and_complete(world: World) -> None:
    """The ordinary life, several at once, with a little trouble."""
    world.call_fails = world.rng.choice([0.0, 0.1])
    process = world.start()

    async def one() -> None:
        opened = await _try(world.open, process)
        await world.pause(3)
        if opened:
            await _try(process.beat, opened.session.id, KEY)
            await _try(process.complete, opened.session.id, KEY)

    await asyncio.gather(*(one() for _ in range(3)))


async def kill_while_opening(world: World) -> None:
    """An operator ends sessions at any moment of their activation."""
    process = world.start()
    world.call_fails = world.rng.choice([0.0, 0.2])
    opening = process.spawn(_try(world.open, process))
    for _ in range(4):
        await world.pause(0.02)
        await _kill_all(world, process)
    await opening
    await _kill_all(world, process)


async def crash_anywhere(world: World) -> None:
    """A process dies at any await; another takes over."""
    first = world.start()
    world.call_fails = world.rng.choice([0.0, 0.3])
    first.spawn(_try(world.open, first))
    first.spawn(_try(world.open, first, "db"))
    await world.pause(0.1)
    if world.rng.random() < 0.5:
        first.spawn(_kill_all(world, first))
        await world.pause(0.05)
    first.crash()
    await world.pause(1)
    world.start()


async def cancelled_anywhere(world: World) -> None:
    """A caller hangs up at any await of its activation."""
    process = world.start()
    world.call_fails = world.rng.choice([0.0, 0.2])
    opening = process.spawn(_try(world.open, process))
    await world.pause(0.06)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await world.pause(1)


async def lost_answers(world: World) -> None:
    """Half of everything fails, with and without effect, at the targets and in the store."""
    world.call_fails, world.store_fails = 0.5, 0.1
    process = world.start()
    for _ in range(3):
        opened = await _try(world.open, process, seconds=15)
        await world.pause(2)
        if opened and world.rng.random() < 0.5:
            await _try(process.complete, opened.session.id, KEY)


async def late_create(world: World) -> None:
    """Every issue is held back and lands late, or is refused as too late; or it is answered late, and so
    is every look: what was known when the look left is not what is known when its answer comes.
    """
    if world.rng.random() < 0.5:
        world.call_fails = 0.9
    else:
        world.slow_down()
    process = world.start()
    tasks = [process.spawn(_try(world.open, process, "db")) for _ in range(3)]
    await world.pause(1)
    world.call_fails = world.rng.choice([0.0, 0.5])
    await _kill_all(world, process)
    await asyncio.gather(*tasks)


async def suspend_and_resume(world: World) -> None:
    """Freezing, thawing and killing overtake each other."""
    process = world.start()
    opened = await _try(world.open, process, seconds=60)
    if opened is None:
        return
    world.call_fails = world.rng.choice([0.0, 0.0, 0.15])
    session = opened.session.id

    async def freeze() -> None:
        for _ in range(3):
            await _try(process.suspend, session, Cause(Reason.SUSPENDED, "ops"))
            await world.pause(1)

    async def warm() -> None:
        for _ in range(8):
            resumed = await _try(process.resume, session, EVIDENCE, KEY)
            if resumed:
                world.use(resumed)
            await world.pause(1)

    await asyncio.gather(freeze(), warm())
    await world.pause(2)
    if world.rng.random() < 0.5:
        await _try(process.end, session, KILL)


async def narrow_and_kill(world: World) -> None:
    """Grants are dropped while the session is ended and its leases are reaped."""
    process = world.start()
    world.call_fails = world.rng.choice([0.0, 0.2])
    opened = await _try(world.open, process)
    if opened is None:
        return
    session = opened.session.id

    async def kill() -> None:
        await world.clock.sleep(world.rng.random() * 0.15)
        await _try(process.end, session, KILL)

    async def drop() -> None:
        await world.pause(0.02)
        first, second = world.rng.sample(["db", "post"], 2)
        await _try(process.narrow, session, (first,), ("write",))
        await world.pause(0.02)
        await _try(process.narrow, session, (second,))

    await asyncio.gather(kill(), drop())


async def lower_and_kill(world: World) -> None:
    """Rights are taken away one by one, grants by phases, while the session freezes, thaws or ends."""
    process, other = world.start(), world.start()
    world.call_fails = world.rng.choice([0.0, 0.2])
    opening = process.spawn(_try(world.open, process, seconds=60))
    await world.pause(0.05)
    known = living(world) or [one.session for one in [await opening] if one]
    if not known:
        return
    session = known[0].id

    async def lower(node: Node, *templates: str) -> None:
        for template in templates:
            await _try(node.lower, session, {"db": template})
            await world.pause(0.1)

    async def trouble() -> None:
        await world.pause(0.2)
        await _try(process.suspend, session, Cause(Reason.SUSPENDED, "ops"))
        await world.pause(0.5)
        await _try(process.resume, session, EVIDENCE, KEY)
        await _try(process.enter_phase, session, "send")
        if world.rng.random() < 0.5:
            await _try(other.end, session, KILL)

    await asyncio.gather(lower(process, "halved", "barred"), lower(other, "barred"), trouble(), opening)


async def kill_at_the_last_lease(world: World) -> None:
    """The end of a session begins just as the last of its leases is found gone."""
    for target in world.targets.values():
        target.latency_s = lambda: 0.0  # everything happens in one instant, in any order
    process = world.start()
    opened = await _try(world.open, process, "db")
    if opened is None:
        return
    await _try(process.narrow, opened.session.id, ("db",))
    for _ in range(world.rng.randrange(25)):
        await asyncio.sleep(0)
    await _try(process.end, opened.session.id, KILL)


async def two_workers(world: World) -> None:
    """Two processes do the same work on the same sessions."""
    one, other = world.start(), world.start()
    world.call_fails = world.rng.choice([0.0, 0.3])
    await asyncio.gather(*(_try(world.open, process) for process in (one, other, one)))
    await asyncio.gather(_kill_all(world, one), _kill_all(world, other))
    await world.pause(1)
    if world.rng.random() < 0.3:
        one.crash()


async def target_down(world: World) -> None:
    """One target is dead for ten minutes; the other must not notice."""
    world.sweep_every_s = 20
    process = world.start()
    opened = await _try(world.open, process, "db")
    other = await _try(world.open, process, "post")
    world.targets["shop"].down = True
    if world.rng.random() < 0.3:
        late = process.spawn(_try(world.open, process, "db"))
        await late
    await _kill_all(world, process)
    await world.clock.sleep(2)
    if other:
        after = await world.store.session(other.session.id)
        assert after is not None and after.state is State.ENDED, "a dead target delays another"
    await world.clock.sleep(600)
    if opened:
        lease = world.store.all_leases(opened.session.id)[0]
        assert lease.residual is not None, "what is left for a minute is a residual"
    world.targets["shop"].down = False
    await world.clock.sleep(70)
    assert all(one.state is State.ENDED for one in world.store.all_sessions()), (
        "destroyed within 70 s of its return"
    )


async def missed_beats(world: World) -> None:
    """Workloads fall silent; servers restart meanwhile; some charters suspend first."""
    process = world.start()
    opened = await _try(world.open, process, seconds=100)
    if opened is None:
        return
    session: SessionId = opened.session.id
    for _ in range(world.rng.randrange(5)):
        await world.clock.sleep(1.5)
        await _try(process.beat, session, KEY)
    if world.rng.random() < 0.5:
        process.crash()
        await world.clock.sleep(20)
        process = world.start()
        await world.clock.sleep(1.5)
        after = await world.store.session(session)
        assert after is not None and after.state is State.ACTIVE, "silence while nobody listened is forgiven"
    await world.clock.sleep(9)
    after = await world.store.session(session)
    assert after is not None and after.state is not State.ACTIVE, "silence is an end, or a suspension"


async def renew_and_kill(world: World) -> None:
    """Renewals race with kills, narrowing and the end of the window."""
    process = world.start()
    opened = await _try(world.open, process, seconds=3)
    if opened is None:
        return
    session = opened.session.id

    async def renew() -> None:
        for _ in range(4):
            await _try(process.beat, session, KEY, renew=True)
            await world.pause(1.5)

    async def kill() -> None:
        await world.pause(4)
        await _try(process.end, session, KILL)

    async def shorten() -> None:
        await world.pause(3)
        closes = world.clock.now() + timedelta(seconds=2)
        await _try(process.narrow, session, (), (), closes)

    await asyncio.gather(renew(), kill(), shorten())


async def restart_storm(world: World) -> None:
    """Processes live for a moment; work goes on from wherever they fell."""
    world.call_fails = world.rng.choice([0.0, 0.3])
    world.store_fails = world.rng.choice([0.0, 0.05])
    for _ in range(5):
        process = world.start()
        process.spawn(_try(world.open, process))
        await world.pause(0.3)
        for session in living(world):
            if world.rng.random() < 0.5:
                process.spawn(_try(process.end, session.id, KILL))
        await world.pause(0.1)
        process.crash()


async def owned_objects(world: World) -> None:
    """A credential comes to own something, and cannot be removed until it is tidied up."""
    process = world.start()
    opened = await _try(world.open, process, "db")
    for account in world.targets["shop"].accounts.values():
        account.owns = True
    await _kill_all(world, process)
    await world.clock.sleep(3)
    if opened:
        lease = world.store.all_leases(opened.session.id)[0]
        assert lease.residual is not None and "owned" in lease.residual.place


async def family_trouble(world: World) -> None:
    """Sessions open children of children while the eldest is narrowed, frozen, thawed and killed."""
    process, other = world.start(), world.start()
    eldest = await _try(world.open, process, seconds=60)
    if eldest is None:
        return
    root = eldest.session
    world.call_fails = world.rng.choice([0.0, 0.0, 0.1])

    async def breed(node: Node) -> None:
        parent = root
        for _ in range(4):
            grants = world.rng.choice([(), ("db",), ("post", "api")])
            opened = await _try(world.open_child, node, parent, *grants)
            if opened and world.rng.random() < 0.7:
                parent = opened.session
            await _try(node.beat, parent.id, parent.key, renew=True)
            await world.pause(0.2)

    async def trouble() -> None:
        await world.pause(0.3)
        drop = world.rng.choice([("db",), ("post",), ("api",)])
        await _try(process.narrow, root.id, drop, (), world.clock.now() + timedelta(seconds=30))
        await world.pause(0.3)
        await _try(other.suspend, root.id, Cause(Reason.SUSPENDED, "ops"))
        await world.pause(0.5)
        for session in world.store.all_sessions():
            await _try(process.resume, session.id, EVIDENCE, session.key)
        await world.pause(0.5)
        if world.rng.random() < 0.7:
            await _try(other.end, root.id, KILL)

    await asyncio.gather(breed(process), breed(other), trouble())


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.__name__: scenario
    for scenario in (
        open_and_complete,
        kill_while_opening,
        crash_anywhere,
        cancelled_anywhere,
        lost_answers,
        late_create,
        suspend_and_resume,
        narrow_and_kill,
        lower_and_kill,
        kill_at_the_last_lease,
        two_workers,
        target_down,
        missed_beats,
        renew_and_kill,
        restart_storm,
        owned_objects,
        family_trouble,
    )
}


def beat_rule(name: str, seed: int) -> BeatRule | None:
    """The beat of a scenario's charter; most owe none in time."""
    if name != "missed_beats":
        return None
    return BeatRule(timedelta(seconds=1), timedelta(seconds=4), suspend_first=seed % 2 == 0)
