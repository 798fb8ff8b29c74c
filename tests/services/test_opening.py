"""Opening and activating: what is refused, what a failure leaves, what is handed out once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.change import Once
from sojourn.core.errors import Invalid, NotFound, Refused, TargetError
from sojourn.core.lease import LeaseState
from sojourn.core.session import State, Task
from sojourn.testing.fakes import Fault
from tests.services.rig import play
from tests.sim.world import Node, World


def test_an_opened_session_is_active_with_every_credential_and_token() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process)

        assert activation.session.state is State.ACTIVE
        assert {one.grant for one in activation.credentials} == {"db", "post"}
        assert [token.audience for token in activation.tokens] == ["https://api"]
        assert world.use(activation) == 2

    play(story)


def test_a_lease_is_on_record_before_its_handle_is_sent() -> None:
    async def story(world: World, process: Node) -> None:
        known: list[bool] = []
        shop = world.targets["shop"]

        def look(_method: str) -> None:
            known.append(bool(_handles(world)))

        shop.faults = look

        await world.open(process, "db")

        assert known and known[0]
        assert shop.sent == dict.fromkeys(_handles(world), 1)

    play(story)


def _handles(world: World) -> list[str]:
    return [
        one.handle for session in world.store.all_sessions() for one in world.store.all_leases(session.id)
    ]


@pytest.mark.parametrize(
    "fault", [Fault.NO_EFFECT, Fault.LOST_ANSWER], ids=["lost", "done, but reported lost"]
)
def test_a_failed_issue_ends_the_session_and_leaves_its_lease_to_the_fence(fault: Fault) -> None:
    async def story(world: World, process: Node) -> None:
        world.targets["shop"].fail_next("issue", fault)

        with pytest.raises(TargetError):
            await world.open(process, "db")

        (session,) = world.store.all_sessions()
        (lease,) = world.store.all_leases(session.id)
        assert session.state is State.REVOKING
        assert lease.state is LeaseState.DESTROYING and not lease.settled
        await process.reap.run_once()
        assert world.store.all_leases(session.id)[0].state is LeaseState.DESTROYING, "not before the fence"
        await world.clock.sleep(4)
        await process.reap.run_once()
        assert world.store.all_sessions()[0].state is State.ENDED
        assert not world.targets["shop"].living()

    play(story)


def test_an_issue_that_never_left_us_is_settled_so_its_absence_counts_at_once() -> None:
    async def story(world: World, process: Node) -> None:
        world.targets["shop"].fail_next("issue", Fault.UNSENT)

        with pytest.raises(TargetError):
            await world.open(process, "db")
        await process.reap.run_once()

        (session,) = world.store.all_sessions()
        assert session.state is State.ENDED

    play(story)


def test_a_repeated_call_gets_the_session_and_no_second_secret() -> None:
    async def story(world: World, process: Node) -> None:
        asked = replace(world.ask(), idempotency="k1", request_hash="h1")

        first = await process.open(asked)
        second = await process.open(asked)

        assert second.repeated and second.session.id == first.session.id
        assert len(world.store.all_sessions()) == 1

    play(story)


def test_the_same_idempotency_key_for_another_request_is_refused() -> None:
    async def story(world: World, process: Node) -> None:
        await process.open(replace(world.ask(), idempotency="k1", request_hash="h1"))

        with pytest.raises(Invalid) as refusal:
            await process.open(replace(world.ask(), idempotency="k1", request_hash="h2"))

        assert refusal.value.code == "idempotency_mismatch"

    play(story)


def test_evidence_serves_once() -> None:
    async def story(world: World, process: Node) -> None:
        proof = Once("dpop", "jti-1", world.clock.now() + timedelta(seconds=80))
        await process.open(replace(world.ask(), once=(proof,)))

        with pytest.raises(Refused) as refusal:
            await process.open(replace(world.ask(), once=(proof,)))

        assert refusal.value.code == "replayed"
        assert len(world.store.all_sessions()) == 1

    play(story)


def test_a_task_without_a_charter_is_refused() -> None:
    async def story(world: World, process: Node) -> None:
        with pytest.raises(NotFound) as refusal:
            await process.open(replace(world.ask(), task=Task("unheard", "1")))

        assert refusal.value.code == "unknown_charter"

    play(story)


def test_activating_an_active_session_again_is_refused_and_does_not_end_it() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process)

        with pytest.raises(Exception, match="wrong_state"):
            await process.activate(activation.session)

        assert world.store.all_sessions()[0].state is State.ACTIVE

    play(story)
