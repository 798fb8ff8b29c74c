"""Opening and activating: what is refused, what a failure leaves, what is handed out once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.change import Change, Once
from sojourn.core.ending import Reason
from sojourn.core.errors import Invalid, NotFound, Refused, TargetError
from sojourn.core.lease import LeaseState
from sojourn.core.session import BeatRule, Session, State, Task, reason_of
from sojourn.services.open_child import ChildRequest
from sojourn.testing.fakes import Fault
from tests.services.rig import play
from tests.sim.world import KEY, Node, World


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


def test_what_needs_nothing_made_is_active_with_the_one_commit_that_opens_it() -> None:
    async def story(world: World, process: Node) -> None:
        moves: list[Change] = []
        world.store.watches.append(lambda change: moves.append(change) if change.steps else None)

        opening = await process.open(world.ask("api"))
        child = await process.open_child(opening.session.id, KEY, ChildRequest(f"{KEY}-child"))

        for opened, change in zip((opening.session, child.session), moves, strict=True):
            assert opened.state is State.ACTIVE and opened.status_list is not None
            assert [beat.session for beat in change.beats] == [opened.id]
            activation = await process.activate(opened)
            assert [token.audience for token in activation.tokens] == ["https://api"]
        assert len(moves) == 2, "nothing more was written"

    play(story)


def test_what_was_opened_and_never_handed_out_ends_by_its_silence() -> None:
    async def story(world: World, process: Node) -> None:
        await process.open(world.ask("api"))
        process.crash()
        successor = world.start(worker=False)

        seen = []
        for seconds in (3.9, 1.2):
            await world.clock.sleep(seconds)
            await successor.sweep.run_once()
            (session,) = world.store.all_sessions()
            seen.append((session.state, reason_of(session)))

        assert seen == [(State.ACTIVE, None), (State.ENDED, Reason.MISSED_BEAT)]

    play(story, beat=BeatRule(timedelta(seconds=1), timedelta(seconds=4)))


@pytest.mark.parametrize("child", [False, True], ids=["session", "child"])
def test_what_would_be_of_no_use_to_its_caller_is_not_opened(*, child: bool) -> None:
    def refuse(session: Session) -> None:
        raise Invalid("invalid_target", f"of no use: {session.task.kind}")

    async def story(world: World, process: Node) -> None:
        parent = (await world.open(process, "api")).session
        with pytest.raises(Invalid, match="invalid_target"):
            if child:
                await process.open_child(parent.id, KEY, ChildRequest(f"{KEY}-child", fits=refuse))
            else:
                await process.open(replace(world.ask("api"), fits=refuse))

        assert [session.id for session in world.store.all_sessions()] == [parent.id]

    play(story)


def test_activating_an_active_session_again_is_refused_and_does_not_end_it() -> None:
    async def story(world: World, process: Node) -> None:
        activation = await world.open(process)

        with pytest.raises(Exception, match="wrong_state"):
            await process.activate(activation.session)

        assert world.store.all_sessions()[0].state is State.ACTIVE

    play(story)
