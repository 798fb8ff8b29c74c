"""Policies over a store: the same on every node, a bad set is passed over, ends wait for none of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import generate_latest

from sojourn.adapters.cedar_policy import CedarEngine
from sojourn.core.change import Change
from sojourn.core.client import Client, Role
from sojourn.core.errors import Invalid, Refused, Unavailable
from sojourn.core.ids import POLICY, ClientId, OwnerId, PolicyId, from_uuid
from sojourn.core.policy import PolicySet, apply
from sojourn.core.session import State
from sojourn.core.usage import Amounts, Usage, Use
from sojourn.faces.http.limits import Places
from sojourn.faces.http.meters import Meters
from sojourn.services.apply_policy import ApplyPolicy
from sojourn.services.keep_allowed import KeepAllowed
from sojourn.services.policy_book import PolicyBook
from tests.services.rig import play
from tests.sim.world import Node, World

ALL = '@id("all") permit (principal, action, resource);\n'
NO_OPEN = ALL + '@id("closed") forbid (principal, action == Sojourn::Action::"open", resource);'


def an_operator(world: World, name: str = "ada") -> Client:
    jwk = {"kty": "EC"}
    return Client(ClientId("cli_1"), 1, name, Role.OPERATOR, OwnerId("ops"), jwk, "x", world.clock.now())


async def write(world: World, text: str, number: int) -> None:
    """Put a set into the store as if another node, or nobody of ours, had written it."""
    made = PolicyId(from_uuid(POLICY, world.entropy.uuid7()))
    row = PolicySet(made, 1, number, text, world.clock.now(), "another node")
    await world.store.commit(Change(steps=(apply(row),)))


async def owner() -> str:
    return "ops"


def test_a_set_that_another_node_applied_decides_about_the_next_opening() -> None:
    async def story(world: World, process: Node) -> None:
        here, there = (PolicyBook(world.store, world.clock, CedarEngine()) for _ in range(2))
        live = (await world.open(process)).session
        await here.require_open(live)
        await ApplyPolicy(world.store, world.clock, world.entropy, CedarEngine())(
            NO_OPEN, by=an_operator(world)
        )

        for book in (here, there):
            with pytest.raises(Refused, match="`closed`"):
                await book.require_open(live)

    play(story)


def test_a_stored_set_that_cannot_be_read_is_passed_over_for_the_one_before() -> None:
    async def story(world: World, process: Node) -> None:
        await write(world, NO_OPEN, 1)
        await write(world, "permit (", 2)
        await write(world, "(" * 40_000, 3)
        book = PolicyBook(world.store, world.clock, CedarEngine())

        assert (await book.current()).number == 1
        assert book.unreadable == 2

    play(story)


def test_where_no_stored_set_can_be_read_nothing_is_opened_and_everything_can_be_stopped() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        await write(world, "nonsense", 1)
        book, person = PolicyBook(world.store, world.clock, CedarEngine()), an_operator(world)

        with pytest.raises(Refused):
            await book.require_open(live)
        with pytest.raises(Refused):
            await book.require_operate(person, "add_target", ("targets", ""), owner, takes_away=False)

    play(story)


def test_a_store_that_does_not_answer_refuses_openings_and_lets_people_stop_things() -> None:
    async def story(world: World, process: Node) -> None:
        live, person = (await world.open(process)).session, an_operator(world)
        book = PolicyBook(world.store, world.clock, CedarEngine())

        async def silent() -> object:
            raise Unavailable("store_unavailable", "no answer")

        world.store.rules = silent  # type: ignore[method-assign, assignment]
        with pytest.raises(Unavailable):
            await book.require_open(live)
        with pytest.raises(Unavailable):
            await book.require_operate(person, "apply_charter", ("charters", ""), owner, takes_away=False)
        await book.require_operate(person, "kill", ("sessions", live.id), owner, takes_away=True)

    play(story)


def test_an_error_never_keeps_an_operator_from_stopping_things_and_a_forbid_does() -> None:
    async def story(world: World, process: Node) -> None:
        person = an_operator(world)
        await write(
            world, ALL + f'@id("x") forbid (principal, action, resource) when {{ {2**62} * 4 > 0 }};', 1
        )
        book = PolicyBook(world.store, world.clock, CedarEngine())
        await book.require_operate(person, "kill", ("sessions", "s"), owner, takes_away=True)
        with pytest.raises(Refused, match="policy_error"):
            await book.require_operate(person, "add_target", ("targets", ""), owner, takes_away=False)

        named = (
            'forbid (principal == Sojourn::Operator::"ada", action == Sojourn::Action::"operate", resource)'
        )
        await write(world, ALL + f'@id("not-ada") {named} when {{ context.verb == "kill" }};', 2)
        await world.clock.sleep(2)
        with pytest.raises(Refused, match="not-ada"):
            await book.require_operate(person, "kill", ("sessions", "s"), owner, takes_away=True)
        await book.require_operate(
            replace(person, name="bo"), "kill", ("sessions", "s"), owner, takes_away=True
        )

    play(story)


def test_a_set_that_fails_is_not_stored_and_the_same_set_again_is_no_new_version() -> None:
    async def story(world: World, process: Node) -> None:
        person = an_operator(world)
        put = ApplyPolicy(world.store, world.clock, world.entropy, CedarEngine())
        first, made = await put(NO_OPEN, by=person)
        again, made_again = await put(NO_OPEN, by=person)
        for text in ("permit (", '@id("x") forbid (principal, action, resource);'):
            with pytest.raises((Invalid, Refused)):
                await put(text, by=person)

        newest = await world.store.policy()
        assert newest == first == again
        assert (made, made_again) == (True, False)

    play(story)


def test_tokens_say_only_what_policies_let_them() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        (grant,) = live.grants.audiences
        rule = f'context.action == "{grant.actions[0]}" && context.age_s >= 60'
        await write(
            world,
            ALL
            + f'@id("x") forbid (principal, action == Sojourn::Action::"use", resource) when {{ {rule} }};',
            1,
        )
        book = PolicyBook(world.store, world.clock, CedarEngine())
        await book.current()

        assert book.usable(live, live.requested_at).audiences == live.grants.audiences
        later = book.usable(live, live.requested_at + timedelta(seconds=60))
        assert grant.actions[0] not in later.actions_at(grant.audience)
        assert later.targets == live.grants.targets

    play(story)


def test_the_past_is_looked_up_where_a_policy_looks_at_it_and_only_there() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        asked: list[str] = []

        async def usage(session: object, account: object, now: object) -> Usage:
            asked.append("usage")
            return Usage(Amounts(calls=3), actions={"https://api read": 3})

        world.store.usage = usage  # type: ignore[method-assign]
        book = PolicyBook(world.store, world.clock, CedarEngine())
        keep = KeepAllowed(book, world.clock, end=process.end, suspend=process.suspend)
        head = 'forbid (principal, action == Sojourn::Action::"continue", resource)'
        await write(world, ALL + f'@id("old") {head} when {{ context.age_s > 3600 }};', 1)
        await keep(live)
        assert not asked

        clause = 'context.uses > 2 && context.prior.contains("https://api read")'
        await write(world, ALL + f'@id("worn") {head} when {{ {clause} }};', 2)
        await world.clock.sleep(2)
        with pytest.raises(Refused, match="worn"):
            await keep(live)

        assert asked == ["usage"]
        ended = await world.store.session(live.id)
        assert ended is not None and ended.state is State.REVOKING

    play(story)


def test_a_policy_may_keep_somebody_from_saying_yes() -> None:
    async def story(world: World, process: Node) -> None:
        live, person = (await world.open(process)).session, an_operator(world)
        book = PolicyBook(world.store, world.clock, CedarEngine())
        head = (
            'forbid (principal == Sojourn::Operator::"ada", action == Sojourn::Action::"approve", resource)'
        )
        await write(world, ALL + f'@id("not-ada") {head} when {{ context.approvals == 0 }};', 1)

        with pytest.raises(Refused, match="not-ada"):
            await book.require_approve(live, person, world.clock.now())
        await book.require_approve(live, replace(person, name="bo"), world.clock.now())

    play(story)


ENOUGH = (
    ALL
    + """@id("enough") forbid (principal, action == Sojourn::Action::"continue", resource)
when { context.failures >= 3 || context.drift >= 2 };"""
)


def test_failed_calls_and_drifts_are_facts_that_may_end_a_session() -> None:
    async def story(world: World, process: Node) -> None:
        await write(world, ENOUGH, 1)
        live = (await world.open(process)).session
        book = PolicyBook(world.store, world.clock, CedarEngine())
        keep = KeepAllowed(book, world.clock, end=process.end, suspend=process.suspend)

        async def fail(calls: int) -> None:
            used = Use(live.id, live.id, "guard", Amounts(calls=calls), failed=calls)
            await world.store.report_use(used, world.clock.now())

        await fail(2)
        assert (await keep.verdict(live)).allowed
        assert not (await keep.verdict(replace(live, drifts=2))).allowed
        await fail(1)
        with pytest.raises(Refused, match="`enough`"):
            await keep(live)
        ended = await world.store.session(live.id)
        assert ended is not None and ended.state not in (State.ACTIVE, State.SUSPENDED)

    play(story)


def test_what_policies_decide_is_counted_by_action_and_answer() -> None:
    async def story(world: World, process: Node) -> None:
        live = (await world.open(process)).session
        await write(world, NO_OPEN, 1)
        await write(world, "nonsense", 2)
        book = PolicyBook(world.store, world.clock, CedarEngine())
        for _ in range(2):
            with pytest.raises(Refused):
                await book.require_open(live)
        await book.require_delegate(live, frozenset(), world.clock.now())

        shown = generate_latest(Meters(Places(1), book).registry).decode()

        assert 'sojourn_policy_decisions_total{action="open",answer="deny"} 2.0' in shown
        assert 'sojourn_policy_decisions_total{action="delegate",answer="allow"} 1.0' in shown
        assert "sojourn_policy_sets_unreadable_total 1.0" in shown

    play(story)
