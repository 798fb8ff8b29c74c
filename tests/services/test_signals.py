"""Signals from outside: who they end, whom they spare, and news that comes before the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from sojourn.core.change import Change
from sojourn.core.charter import apply
from sojourn.core.ending import Reason
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from sojourn.core.ids import CharterId, SessionId
from sojourn.core.secret import Secret
from sojourn.core.session import Session, State
from sojourn.core.trigger import Trigger
from sojourn.ports.store import SessionFilter, Store
from sojourn.ports.trigger import Delivery, Signal
from sojourn.services.add_trigger import AddTrigger
from sojourn.services.route_signals import RouteSignals
from sojourn.services.watch_triggers import WatchTriggers
from tests.services.rig import play
from tests.sim.world import Node, World

RUN = {"github.repository_id": "42", "github.run_id": "7", "github.run_attempt": "1"}


class Sealing:
    """Seals by turning round."""

    def seal(self, name: str, secret: bytes) -> bytes:
        return name.encode() + b"|" + secret[::-1]

    def unseal(self, name: str, ciphertext: bytes) -> bytes:
        assert ciphertext.startswith(name.encode())
        return ciphertext.partition(b"|")[2][::-1]


class Said:
    """A kind that says what it is told to, to whoever knows the secret: one signal for each run."""

    def parse(self, delivery: Delivery, secret: Secret) -> tuple[Signal, ...]:
        assert delivery.body == secret.reveal().encode()
        runs = delivery.headers["github.run_id"].split()
        matches = [{**delivery.headers, "github.run_id": run} for run in runs]
        return tuple(Signal(Reason.JOB_FINISHED, match, "over") for match in matches)


class Counting:
    """The store, with a count of the sessions that were listed."""

    def __init__(self, store: Store) -> None:
        self._store, self.sessions_read = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def sessions(self, which: SessionFilter, *, after: SessionId | None, limit: int) -> list[Session]:
        found = await self._store.sessions(which, after=after, limit=limit)
        self.sessions_read += len(found)
        return list(found)


class Rig:
    """One trigger of a kind that the charter hears."""

    def __init__(self, world: World, process: Node) -> None:
        self.world, self.process = world, process
        self.hear_by(process.store)
        self.add = AddTrigger(
            process.store, world.clock, world.entropy, sealer=Sealing(), kinds=("said", "silent")
        )
        self.trigger: Trigger
        self.secret: Secret

    def hear_by(self, store: Store) -> None:
        clock, end = self.world.clock, self.process.end
        self.route = RouteSignals(store, clock, end, sealer=Sealing(), kinds={"said": Said()})

    async def furnish(self, *ends_on: str) -> None:
        (charter,) = await self.world.store.charters()
        newer = replace(charter, id=CharterId("cha_2"), number=2, ends_on=ends_on)
        await self.world.store.commit(Change(steps=(apply(newer),)))
        self.trigger, self.secret = await self.add("ci", "said", settings={}, secret=None, by="ada")

    async def open(self, **context: str) -> State:
        self.process.vouch.observed = {**RUN, **context}
        opening = await self.process.open(self.world.ask())
        activation = await self.process.activate(opening.session)
        return activation.session.state

    async def say(self, **change: str) -> int:
        body = self.secret.reveal().encode()
        return await self.route.deliver("ci", Delivery({**RUN, **change}, body, self.world.clock.now()))

    def reasons(self) -> list[Reason | None]:
        return [one.cause.reason if one.cause else None for one in self.world.store.all_sessions()]


def test_the_sessions_of_the_job_end_and_no_other() -> None:
    async def story(world: World, process: Node) -> None:
        rig = Rig(world, process)
        await rig.furnish("said")
        await rig.open()
        await rig.open(**{"github.run_attempt": "2"})
        await rig.open(**{"github.run_id": "8"})

        ended, again = await rig.say(), await rig.say()

        assert (ended, again) == (1, 0)
        assert rig.reasons() == [Reason.JOB_FINISHED, None, None]

    play(story)


@pytest.mark.parametrize("known", ["", "7", "8", "7 8"], ids=["all new", "one known", "other known", "known"])
def test_one_delivery_may_speak_of_several_jobs(known: str) -> None:
    async def story(world: World, process: Node) -> None:
        rig = Rig(world, process)
        await rig.furnish("said")
        if known:
            await rig.say(**{"github.run_id": known})
        for run in {"7", "8"} - set(known.split()):
            await rig.open(**{"github.run_id": run})
        await rig.open(**{"github.run_id": "9"})

        ended = await rig.say(**{"github.run_id": "7 8 7"})

        assert ended == 2 - len(known.split())
        assert rig.reasons() == [Reason.JOB_FINISHED] * ended + [None]
        for run in ("7", "8"):
            with pytest.raises(Refused, match="session_ended"):
                await rig.open(**{"github.run_id": run})

    play(story)


def test_only_sessions_of_the_job_are_read() -> None:
    async def story(world: World, process: Node) -> None:
        rig = Rig(world, process)
        await rig.furnish("said")
        for run in range(20):
            await rig.open(**{"github.run_id": str(run)})
        store = Counting(process.store)
        rig.hear_by(cast("Store", store))

        assert await rig.say(**{"github.run_id": "7 11 99"}) == 2
        assert store.sessions_read == 2

    play(story)


def test_two_deliveries_that_overlap_are_both_remembered() -> None:
    async def story(world: World, process: Node) -> None:
        rig = Rig(world, process)
        await rig.furnish("said")

        await asyncio.gather(*(rig.say(**{"github.run_id": runs}) for runs in ("7 8", "9 8", "8 10")))

        for run in ("7", "8", "9", "10"):
            with pytest.raises(Refused, match="session_ended"):
                await rig.open(**{"github.run_id": run})

    play(story)


def test_a_charter_that_does_not_hear_this_kind_is_not_concerned() -> None:
    async def story(world: World, process: Node) -> None:
        rig = Rig(world, process)
        await rig.furnish("silent")
        await rig.open()

        assert await rig.say() == 0 and rig.reasons() == [None]
        assert await rig.open() is State.ACTIVE

    play(story)


def test_news_that_comes_before_the_session_ends_it_when_it_is_activated() -> None:
    async def story(world: World, process: Node) -> None:
        rig = Rig(world, process)
        await rig.furnish("said")
        await rig.say()

        with pytest.raises(Refused, match="session_ended"):
            await rig.open()
        assert rig.reasons() == [Reason.JOB_FINISHED]
        assert await rig.open(**{"github.run_attempt": "2"}) is State.ACTIVE

    play(story)


def test_triggers_have_one_name_each_and_a_secret_that_is_sealed() -> None:
    async def story(world: World, process: Node) -> None:
        rig = Rig(world, process)
        await rig.furnish("said")

        with pytest.raises(Conflict, match="trigger_exists"):
            await rig.add("ci", "said", settings={}, secret=None, by="ada")
        with pytest.raises(Invalid, match="unknown_kind"):
            await rig.add("other", "nothing", settings={}, secret=None, by="ada")
        await rig.add.remove("ci")
        with pytest.raises(NotFound, match="unknown_trigger"):
            await rig.say()
        kept = await process.store.sealed(f"trigger:{rig.trigger.id}")
        assert kept is not None and rig.secret.reveal().encode() not in kept

    play(story)


class Watched:
    """A kind that loses its connection once, and then says that the job is over."""

    def __init__(self) -> None:
        self.begun = 0

    async def watch(self, settings: Mapping[str, str], secret: Secret) -> AsyncIterator[tuple[Signal, ...]]:
        self.begun += 1
        if self.begun == 1:
            raise Unavailable("watch_lost", "the connection broke")
        yield (Signal(Reason.JOB_FINISHED, RUN, "pod succeeded"),)


def test_a_watch_that_breaks_begins_again_and_its_signals_end_sessions() -> None:
    async def story(world: World, process: Node) -> None:
        rig, kind = Rig(world, process), Watched()
        await rig.furnish("said")
        await rig.open()
        watching = WatchTriggers(process.store, world.clock, rig.route, {"said": kind})

        task = asyncio.ensure_future(watching.run())
        await world.clock.sleep(6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert kind.begun >= 2 and rig.reasons() == [Reason.JOB_FINISHED]

    play(story)
