"""Approvals: exactly what was shown, by k distinct people who do not profit, in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sojourn.core.approval import Approval, ApprovalState, hash_of, status
from sojourn.core.change import Change
from sojourn.core.charter import ApprovalRule, OnDrift, PinRule, apply
from sojourn.core.client import Client, Role, register
from sojourn.core.ending import Reason
from sojourn.core.errors import Conflict, Invalid, Refused
from sojourn.core.ids import CharterId, ClientId, OwnerId
from sojourn.core.record import RowKind
from sojourn.core.session import Session, State
from sojourn.ports.store import Mark
from sojourn.services.activate_approved import ActivateApproved
from sojourn.services.approve_session import ApproveSession
from sojourn.services.mint_tokens import Token
from sojourn.services.step_up import StepUp
from tests.services.rig import play
from tests.sim.scenarios import EVIDENCE
from tests.sim.world import KEY, Node, World

RULE = ApprovalRule(2, ("ada", "bob", "mallory", "owner"), timedelta(minutes=10), timedelta(minutes=5))


class Desk:
    """What people do."""

    def __init__(self, world: World, process: Node) -> None:
        self.world, self.process = world, process
        self.approve = ApproveSession(process.store, world.clock, world.entropy, process.end)
        self.activate = ActivateApproved(process.store, world.clock, process.reattest, process.activate)
        self.people: dict[str, Client] = {}

    async def furnish(self) -> None:
        (charter,) = await self.world.store.charters()
        newer = replace(charter, id=CharterId("cha_2"), number=2, owner=OwnerId("business"), approval=RULE)
        await self.world.store.commit(Change(steps=(apply(newer),)))
        for name, owner in (("ada", "ops"), ("bob", "ops"), ("carol", "business"), ("eve", "ops")):
            await self.enrol(name, owner, f"thumb-{name}")
        await self.enrol("mallory", "team", "thumb-mallory")  # of the team that runs the workload

    async def enrol(self, name: str, owner: str, key: str, role: Role = Role.OPERATOR) -> Client:
        now = self.world.clock.now()
        client = Client(ClientId(f"cli_{name}"), 1, name, role, OwnerId(owner), {"kty": "EC"}, key, now)
        await self.world.store.commit(Change(steps=(register(client),)))
        self.people[name] = client
        return client

    async def open(self) -> tuple[Session, Approval]:
        opening = await self.process.open(self.world.ask())
        (asked,) = await self.process.store.approvals(opening.session.id)
        return opening.session, asked

    async def approve_template(self) -> None:
        asked = await self.approve.ask_for_template("demo", self.people["eve"])
        for name in ("ada", "carol"):
            await self.say(asked, name)

    async def say(
        self, asked: Approval, name: str, *, yes: bool = True, shown: str | None = None
    ) -> Approval:
        return await self.approve(asked.id, self.people[name], yes=yes, shown_hash=shown or asked.shown_hash)

    async def come(self, session: Session) -> Session:
        return (await self.activate(session.id, EVIDENCE, KEY, ())).session


Story = Callable[[Desk], Awaitable[None]]


def people(story: Story) -> None:
    async def whole(world: World, process: Node) -> None:
        desk = Desk(world, process)
        await desk.furnish()
        await story(desk)

    play(whole)


def test_two_people_approve_and_the_workload_comes_for_its_credentials() -> None:
    async def story(desk: Desk) -> None:
        session, asked = await desk.open()
        assert session.state is State.REQUESTED and not desk.world.store.all_leases(session.id)
        with pytest.raises(Refused, match="not_approved_yet"):
            await desk.come(session)

        first = await desk.say(asked, "ada")
        assert first.state is ApprovalState.PENDING
        await desk.world.clock.sleep(60)
        second = await desk.say(asked, "carol")
        active = await desk.come(session)

        now = desk.world.clock.now()
        assert second.state is ApprovalState.APPROVED and active.state is State.ACTIVE
        assert active.window.closes - active.window.opens == timedelta(seconds=20)
        assert abs((active.window.opens - now).total_seconds()) < 1, "waiting costs no working time"

    people(story)


@pytest.mark.parametrize("name", ["mallory", "eve"])
def test_who_profits_or_is_not_named_does_not_answer(name: str) -> None:
    async def story(desk: Desk) -> None:
        _, asked = await desk.open()

        with pytest.raises(Refused, match="own_request" if name == "mallory" else "not_an_approver"):
            await desk.say(asked, name)

    people(story)


def test_the_requester_does_not_answer_under_another_name_either() -> None:
    async def story(desk: Desk) -> None:
        _, asked = await desk.open()
        alias = replace(desk.people["bob"], thumbprint=desk.world.client.thumbprint)
        desk.world.store.rows[RowKind.CLIENT, alias.id] = alias
        desk.people["bob"] = alias

        with pytest.raises(Refused, match="own_request"):
            await desk.say(asked, "bob")

    people(story)


def test_one_person_counts_once_whatever_the_name() -> None:
    async def story(desk: Desk) -> None:
        _, asked = await desk.open()
        await desk.say(asked, "ada")
        twin = replace(desk.people["bob"], thumbprint=desk.people["ada"].thumbprint)
        desk.world.store.rows[RowKind.CLIENT, twin.id] = twin
        desk.people["bob"] = twin

        for name in ("ada", "bob"):
            with pytest.raises(Conflict, match="already_answered"):
                await desk.say(asked, name)

    people(story)


def test_a_no_refuses_at_once_and_for_good() -> None:
    async def story(desk: Desk) -> None:
        session, asked = await desk.open()
        await desk.say(asked, "ada")

        await desk.say(asked, "bob", yes=False)

        ended = desk.world.store.all_sessions()[0]
        assert ended.state is State.ENDED and ended.cause is not None
        assert ended.cause.reason is Reason.REFUSED and ended.id == session.id
        with pytest.raises(Conflict, match="wrong_state"):
            await desk.say(asked, "carol")

    people(story)


def test_an_answer_to_something_else_is_no_answer() -> None:
    async def story(desk: Desk) -> None:
        _, asked = await desk.open()

        with pytest.raises(Conflict, match="approval_changed"):
            await desk.say(asked, "ada", shown=hash_of({**asked.shown, "duration_us": 1}))

    people(story)


def test_what_was_changed_after_the_yes_is_not_activated() -> None:
    async def story(desk: Desk) -> None:
        session, asked = await desk.open()
        for name in ("ada", "carol"):
            await desk.say(asked, name)
        approved = desk.world.store.all_sessions()[0]
        edited = replace(approved, context={"ref": "another"})
        desk.world.store.rows[RowKind.SESSION, session.id] = edited

        with pytest.raises(Refused, match="approval_void"):
            await desk.come(session)

    people(story)


def test_requests_and_answers_expire() -> None:
    async def story(desk: Desk) -> None:
        session, asked = await desk.open()
        for name in ("ada", "carol"):
            await desk.say(asked, name)
        late, later = await desk.open()
        await desk.world.clock.sleep(5 * 60 + 1)

        with pytest.raises(Refused):
            await desk.come(session)
        await desk.world.clock.sleep(5 * 60)
        with pytest.raises(Refused, match="task_expired"):
            await desk.say(later, "ada")
        await desk.process.sweep.run_once()
        states = {one.id: one.cause.reason for one in desk.world.store.all_sessions() if one.cause}
        assert states[late.id] is Reason.NOT_ACTIVATED
        assert status(later, desk.world.clock.now()) == "expired"

    people(story)


def test_a_yes_that_is_taken_back_ends_what_it_allowed() -> None:
    async def story(desk: Desk) -> None:
        session, asked = await desk.open()
        for name in ("ada", "carol"):
            await desk.say(asked, name)
        await desk.come(session)

        with pytest.raises(Refused, match="not_an_approver"):
            await desk.approve.withdraw(asked.id, desk.people["bob"])
        await desk.approve.withdraw(asked.id, desk.people["ada"])

        ended = desk.world.store.all_sessions()[0]
        assert ended.cause is not None and ended.cause.reason is Reason.APPROVAL_WITHDRAWN

    people(story)


def test_a_removed_approver_has_not_answered() -> None:
    async def story(desk: Desk) -> None:
        _, asked = await desk.open()
        now = desk.world.clock.now()
        desk.people["ada"] = replace(desk.people["ada"], removed_at=now)

        with pytest.raises(Refused, match="not_an_approver"):
            await desk.say(asked, "ada")

    people(story)


def test_a_template_approved_once_opens_its_sessions_unasked_until_it_expires() -> None:
    async def story(desk: Desk) -> None:
        asked = await desk.approve.ask_for_template("demo", desk.people["eve"])
        for name in ("ada", "carol"):
            await desk.say(asked, name)

        opened = (await desk.process.open(desk.world.ask())).session
        assert opened.state is State.APPROVED
        await desk.world.clock.sleep(5 * 60 + 1)
        assert (await desk.process.open(desk.world.ask())).session.state is State.REQUESTED

    people(story)


def test_one_approved_action_brings_one_short_token_and_no_wider_session() -> None:
    async def story(desk: Desk) -> None:
        await desk.approve_template()
        opening = await desk.process.open(desk.world.ask("db"))
        live = (await desk.process.activate(opening.session)).session
        minted: list[Session] = []

        def mint(session: Session, mark: Mark) -> list[Token]:
            minted.append(session)
            return [Token("https://api", "jwt", desk.world.clock.now(), "write")]

        steps = StepUp(desk.process.store, desk.world.clock, desk.world.entropy, mint)
        with pytest.raises(Invalid, match="unknown_action"):
            await steps.ask(live.id, "https://api", "drop", "")
        asked = await steps.ask(live.id, "https://api", "write", "one order")
        with pytest.raises(Refused, match="not_approved_yet"):
            await steps.use(live.id, asked.id)
        for name in ("ada", "carol"):
            await desk.say(asked, name)

        await steps.use(live.id, asked.id)
        with pytest.raises(Refused, match="replayed"):
            await steps.use(live.id, asked.id)

        (only,) = minted
        assert only.grants.actions_at("https://api") == ("write",) and not only.grants.targets
        kept = await desk.process.store.session(live.id)
        assert kept is not None and kept.grants == live.grants

    people(story)


def test_a_policy_may_forbid_a_person_to_approve_and_never_to_deny() -> None:
    async def story(desk: Desk) -> None:
        async def may(session: Session, by: Client, now: datetime) -> None:
            raise Refused("policy_refused", f"{by.name} may not approve {session.task.kind}")

        desk.approve = ApproveSession(
            desk.process.store, desk.world.clock, desk.world.entropy, desk.process.end, may=may
        )
        _, asked = await desk.open()

        with pytest.raises(Refused, match="policy_refused"):
            await desk.say(asked, "ada")
        assert (await desk.say(asked, "ada", yes=False)).state is ApprovalState.DENIED

    people(story)


def test_a_context_that_drifts_before_the_activation_is_named_and_the_yes_waits() -> None:
    async def story(desk: Desk) -> None:
        newest = max(await desk.world.store.charters(), key=lambda one: one.number)
        pins = (PinRule("github.actor", OnDrift.SUSPEND),)
        again = replace(newest, id=CharterId("cha_3"), number=newest.number + 1, pins=pins)
        await desk.world.store.commit(Change(steps=(apply(again),)))
        desk.process.vouch.observed = {"github.actor": "ann"}
        session, asked = await desk.open()
        for name in ("ada", "carol"):
            await desk.say(asked, name)
        desk.process.vouch.observed = {"github.actor": "mal"}

        with pytest.raises(Refused, match="context_changed: `github.actor` was `ann`, is `mal`"):
            await desk.come(session)

        desk.process.vouch.observed = {"github.actor": "ann"}
        assert (await desk.come(session)).state is State.ACTIVE

    people(story)
