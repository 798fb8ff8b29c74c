"""Credentials that cannot be taken back at once: what is said of them, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sojourn.adapters.journal_leaf import Placed, leaf_of, tell
from sojourn.core.ids import SessionId
from sojourn.core.lease import LeaseState
from sojourn.core.record import FactKind
from sojourn.core.session import State
from sojourn.ledger.credentials import Credential, derive
from sojourn.ledger.leaf import read_leaf
from sojourn.ports.provider import Presence
from tests.services.rig import play
from tests.sim.scenarios import KILL
from tests.sim.world import Node, World

LASTS = timedelta(minutes=10)


def test_what_ends_by_itself_is_a_residual_until_then_and_gone_after_the_tolerance() -> None:
    async def story(world: World, process: Node) -> None:
        world.targets["shop"].lasts = LASTS
        activation = await world.open(process, "db")
        ends_at = next(iter(world.targets["shop"].accounts.values())).ends_at
        assert ends_at is not None
        await process.end(activation.session.id, KILL)

        await process.reap.run_once()

        lease, session = world.store.all_leases(activation.session.id)[0], world.store.all_sessions()[0]
        assert session.state is State.REVOKING and lease.state is LeaseState.DESTROYING
        assert lease.residual is not None and lease.residual.until == ends_at
        assert lease.residual.place == "shop: wherever it was copied to"
        assert lease.residual.owner == session.owner

        while world.clock.now() < ends_at + world.settings.tolerance:
            assert world.store.all_sessions()[0].state is State.REVOKING, "the tolerance is part of it"
            await world.clock.sleep(1)
            await process.reap.run_once()

        gone = world.store.all_leases(activation.session.id)[0]
        assert world.store.all_sessions()[0].state is State.ENDED and gone.residual is None
        assert gone.destroyed_at is not None
        late = gone.destroyed_at - ends_at - world.settings.tolerance
        assert timedelta(0) <= late <= timedelta(seconds=2), "it is looked at as soon as it is over"
        stuck = [fact for fact in world.store.facts if fact.kind is FactKind.LEASE_STUCK]
        assert len(stuck) == 1, "one residual is one fact, however often it is looked at"

    play(story)


@pytest.mark.parametrize(
    ("presence", "ends"),
    [(Presence.UNKNOWN, True), (Presence.LINGERING, True), (Presence.PRESENT, False)],
    ids=["cannot be asked", "still honoured for a while", "seen to work"],
)
def test_an_end_that_the_target_named_counts_once_past_unless_it_was_seen_to_work(
    presence: Presence, ends: bool
) -> None:
    async def story(world: World, process: Node) -> None:
        target = world.targets["shop"]
        target.lasts, target.lasting_as = timedelta(seconds=30), presence
        activation = await world.open(process, "db")
        until = next(iter(target.accounts.values())).ends_at
        assert until is not None
        await process.end(activation.session.id, KILL)

        for _ in range(8):
            await process.reap.run_once()
            await world.clock.sleep(15)

        lease = world.store.all_leases(activation.session.id)[0]
        assert (lease.state is LeaseState.DESTROYED) is ends
        if ends:
            assert lease.method is not None and lease.method.startswith("ended by itself at ")
            assert lease.destroyed_at is not None
            assert lease.destroyed_at >= until + world.settings.tolerance
        else:
            assert lease.residual is not None and lease.residual.until == until

    play(story)


def test_a_secret_that_alone_can_end_itself_is_sealed_until_it_is_gone() -> None:
    async def story(world: World, process: Node) -> None:
        world.targets["shop"].keeps = True
        activation = await world.open(process, "db")
        lease = world.store.all_leases(activation.session.id)[0]
        sealed = await world.store.sealed(f"lease:{lease.id}")
        secret = activation.credentials[0].secret.reveal().encode()
        assert lease.keeps and sealed is not None and secret in sealed

        await process.end(activation.session.id, KILL)
        await process.reap.run_once()

        gone = world.store.all_leases(activation.session.id)[0]
        assert gone.state is LeaseState.DESTROYED and not gone.keeps
        assert await world.store.sealed(f"lease:{lease.id}") is None

    play(story)


def test_a_secret_whose_session_ended_while_it_was_made_is_sealed_all_the_same() -> None:
    async def story(world: World, process: Node) -> None:
        target = world.targets["shop"]
        target.keeps = True
        target.latency_s = lambda: 1.0
        opening = await process.open(world.ask("db"))
        activating = process.spawn(process.activate(opening.session))
        while not target.accounts:
            await world.clock.sleep(0.1)
        await process.end(opening.session.id, KILL)
        await world.clock.sleep(5)

        await process.reap.run_once()
        await world.clock.sleep(5)
        await process.reap.run_once()

        assert activating.done() and activating.exception() is not None
        assert world.store.all_sessions()[0].state is State.ENDED and not target.living()

    play(story)


def test_without_its_secret_it_is_not_called_gone() -> None:
    async def story(world: World, process: Node) -> None:
        world.targets["shop"].keeps = True
        activation = await world.open(process, "db")
        world.store._sealed.clear()

        await process.end(activation.session.id, KILL)
        await process.reap.run_once()

        assert world.store.all_leases(activation.session.id)[0].state is LeaseState.DESTROYING

    play(story)


def test_the_evidence_shows_a_residual_while_it_lasts_and_then_how_it_ended() -> None:
    async def story(world: World, process: Node) -> None:
        world.targets["shop"].lasts = LASTS
        activation = await world.open(process, "db")
        ends_at = next(iter(world.targets["shop"].accounts.values())).ends_at
        await process.end(activation.session.id, KILL)
        await process.reap.run_once()

        (during,) = _evidence(world, activation.session.id)
        await world.clock.sleep((LASTS + world.settings.tolerance).total_seconds())
        await process.reap.run_once()
        (after,) = _evidence(world, activation.session.id)

        (left,) = during.residual
        assert during.destroyed_at is None and during.refused_at is not None
        assert (left.place, left.until) == ("shop: wherever it was copied to", ends_at)
        assert left.owner == world.store.all_sessions()[0].owner
        assert after.method is not None and after.method.startswith("ended by itself at ")
        assert after.destroyed_at is not None and not after.residual

    play(story)


def _evidence(world: World, session: SessionId) -> tuple[Credential, ...]:
    """What a bundle says of the session's credentials, from leaves as the journal holds them."""
    facts = [fact for fact in world.store.facts if fact.session == session]
    placed = [
        Placed(fact, tell(fact, world.store.rows[fact.row, fact.id]), number)
        for number, fact in enumerate(facts, start=1)
    ]
    return derive([read_leaf(leaf_of(one, index)) for index, one in enumerate(placed)])
