"""Who is here is compared with who was there; one run of work has one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from sojourn.core.change import Change
from sojourn.core.charter import OnDrift, PinRule, apply
from sojourn.core.client import Client
from sojourn.core.ending import Reason
from sojourn.core.errors import Refused, Unauthenticated, Unavailable
from sojourn.core.ids import CHARTER, CharterId, from_uuid
from sojourn.core.record import FactKind
from sojourn.core.session import BeatRule, State, reason_of
from sojourn.ports.attestor import Attestation, Evidence
from sojourn.services.activate_session import Activation
from tests.services.rig import play
from tests.sim.world import Node, World

FRESH = BeatRule(timedelta(seconds=1), timedelta(seconds=60), evidence="fresh")
SHOWN = Evidence("test", "")


@dataclass
class Platform:
    """Vouches for one workload with the facts that a test sets."""

    client: Client
    facts: dict[str, str] = field(default_factory=lambda: {"github.run_id": "1", "github.sha": "aa"})
    lasting: bool = True
    run: str | None = None
    unknown: tuple[str, ...] = ()
    finished: bool = False
    down: bool = False

    async def attest(self, evidence: Evidence, now: datetime) -> Attestation:
        if self.down:
            raise Unavailable("platform_unavailable", "nobody answers")
        if self.finished:
            raise Refused("job_finished", "the job is over")
        return Attestation(
            self.client,
            context=dict(self.facts),
            selectors=dict(self.facts),
            identity=frozenset({"github.run_id"}),
            pinned=frozenset({"github.sha"}),
            unknown=self.unknown,
            run=self.run,
            lasting=self.lasting,
        )


def with_platform(world: World, process: Node) -> Platform:
    """Let a platform vouch in place of the world's own attestor."""
    platform = Platform(world.client)
    attestors: dict[str, object] = process.open._attestors  # type: ignore[assignment]
    attestors["test"] = platform
    return platform


async def pinned(world: World, pins: Mapping[str, OnDrift]) -> None:
    """A new version of the charter, with pins."""
    (charter,) = await world.store.charters()
    rules = tuple(PinRule(fact, how) for fact, how in pins.items())
    fresh = CharterId(from_uuid(CHARTER, world.entropy.uuid7()))
    again = replace(charter, id=fresh, number=charter.number + 1, pins=rules)
    await world.store.commit(Change(steps=(apply(again),)))


async def beat(process: Node, opened: Activation) -> State:
    """The state that a beat with evidence finds or leaves."""
    session = opened.session
    return (await process.beat(session.id, session.key, evidence=SHOWN)).session.state


def test_the_same_facts_are_a_beat_and_none_are_no_beat() -> None:
    async def story(world: World, process: Node) -> None:
        with_platform(world, process)
        opened = await world.open(process)

        assert await beat(process, opened) is State.ACTIVE
        with pytest.raises(Unauthenticated) as refusal:
            await process.beat(opened.session.id, opened.session.key)
        assert refusal.value.code == "evidence_expected"

    play(story, beat=FRESH)


@pytest.mark.parametrize("fact", ["github.run_id", "github.sha"])
def test_a_drift_ends_the_session_with_the_fact_named(fact: str) -> None:
    async def story(world: World, process: Node) -> None:
        platform = with_platform(world, process)
        opened = await world.open(process)
        platform.facts[fact] = "other"

        with pytest.raises(Refused) as refusal:
            await beat(process, opened)

        (session,) = world.store.all_sessions()
        assert refusal.value.code == "context_changed"
        assert session.state is State.REVOKING and reason_of(session) is Reason.CONTEXT_CHANGED
        assert session.cause is not None and fact in session.cause.detail

    play(story, beat=FRESH)


def test_a_fact_that_nobody_pinned_may_change_until_a_charter_pins_it() -> None:
    async def story(world: World, process: Node) -> None:
        platform = with_platform(world, process)
        platform.facts["github.actor"] = "ada"
        free = await world.open(process)
        await pinned(world, {"github.actor": OnDrift.END})
        held = await world.open(process)

        platform.facts["github.actor"] = "eve"

        assert await beat(process, free) is State.ACTIVE
        with pytest.raises(Refused):
            await beat(process, held)

    play(story, beat=FRESH)


def test_a_pin_may_suspend_but_another_identity_always_ends() -> None:
    async def story(world: World, process: Node) -> None:
        platform = with_platform(world, process)
        await pinned(world, {"github.sha": OnDrift.SUSPEND, "github.run_id": OnDrift.SUSPEND})
        opened = await world.open(process)
        platform.facts["github.sha"] = "bb"

        assert await beat(process, opened) is State.SUSPENDED
        with pytest.raises(Refused) as refusal:
            await process.resume(opened.session.id, SHOWN, opened.session.key)
        assert refusal.value.code == "context_changed"
        (session,) = world.store.all_sessions()
        assert (session.state, session.drifts) == (State.SUSPENDED, 1)

        platform.facts["github.run_id"] = "2"
        with pytest.raises(Refused):
            await process.resume(opened.session.id, SHOWN, opened.session.key)
        assert world.store.all_sessions()[0].state is State.REVOKING

    play(story, beat=FRESH)


def test_a_finished_job_ends_the_session_and_a_platform_that_is_down_does_not() -> None:
    async def story(world: World, process: Node) -> None:
        platform = with_platform(world, process)
        opened = await world.open(process)
        platform.down = True
        with pytest.raises(Unavailable):
            await beat(process, opened)
        assert world.store.all_sessions()[0].state is State.ACTIVE

        platform.down, platform.finished = False, True
        with pytest.raises(Refused):
            await beat(process, opened)

        assert reason_of(world.store.all_sessions()[0]) is Reason.JOB_FINISHED

    play(story, beat=FRESH)


def test_evidence_of_another_kind_is_no_beat() -> None:
    async def story(world: World, process: Node) -> None:
        with_platform(world, process)
        opened = await world.open(process)

        with pytest.raises(Unauthenticated):
            await process.beat(opened.session.id, opened.session.key, evidence=Evidence("oidc", ""))

        assert world.store.all_sessions()[0].state is State.ACTIVE

    play(story, beat=FRESH)


def test_fresh_evidence_is_demanded_of_platforms_that_have_it() -> None:
    async def story(world: World, process: Node) -> None:
        with_platform(world, process).lasting = False

        with pytest.raises(Refused) as refusal:
            await process.open(world.ask())

        assert refusal.value.code == "not_lasting"
        assert world.store.all_sessions() == []

    play(story, beat=FRESH)


def test_unknown_claims_are_named_in_the_first_fact() -> None:
    async def story(world: World, process: Node) -> None:
        with_platform(world, process).unknown = ("brand_new",)

        await world.open(process)

        (fact,) = [f for f in world.store.facts if f.kind is FactKind.SESSION_REQUESTED]
        assert fact.notes == {"unknown_claims": ("brand_new",)}

    play(story)


def test_a_run_has_one_session_however_it_ended() -> None:
    async def story(world: World, process: Node) -> None:
        with_platform(world, process).run = "github 1 1"
        opened = await world.open(process)
        for _ in range(2):
            with pytest.raises(Refused) as refusal:
                await process.open(replace(world.ask(), key="another"))
            assert refusal.value.code == "run_spent"
            await process.complete(opened.session.id, opened.session.key)

    play(story)


def test_a_run_may_ask_again_for_what_it_lost_or_never_got() -> None:
    async def story(world: World, process: Node) -> None:
        with_platform(world, process).run = "github 1 1"
        lost = await world.open(process)
        with pytest.raises(Refused):
            await process.open(replace(world.ask(), key=lost.session.key))
        await process.complete(lost.session.id, lost.session.key)

        again = await process.open(replace(world.ask(), key=lost.session.key))

        assert again.session.id != lost.session.id
        with pytest.raises(Refused):
            await process.open(replace(world.ask(), key="another"))

    play(story)
