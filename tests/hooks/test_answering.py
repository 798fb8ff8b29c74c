"""Answers from a chat: signed, once, of somebody who said who they are there, about what was shown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.approval import Approval, ApprovalState
from sojourn.core.client import Client
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused, SojournError, Unauthenticated
from sojourn.core.hook import Said
from sojourn.core.ids import ApprovalId
from sojourn.core.secret import Secret
from sojourn.core.signed_message import headers_of
from sojourn.ports.trigger import Delivery
from tests.hooks.world import URL, World

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def linked(world: World) -> None:
    await world.furnish()
    for name in ("ada", "mallory", "carol", "eve"):
        await world.hooks.link("chat", f"U-{name}", world.people[name])


async def anything(person: Client, approval: ApprovalId) -> None:
    """No policy is asked."""


def message(world: World, said: Said, name: str = "msg_1", secret: Secret | None = None) -> Delivery:
    body = json.dumps({"approval": said.approval, "hash": said.shown_hash}).encode()
    now = world.clock.now()
    return Delivery(headers_of(name, body, secret or world.secret, now), body, now)


def of(asked: Approval, person: str = "U-ada", *, yes: bool = True) -> Said:
    return Said(asked.id, person, yes, asked.shown_hash, "from the chat")


async def test_a_linked_person_approves_and_it_is_on_record_by_which_way(world: World) -> None:
    _, asked = await world.wish()

    answered = await world.answers("chat", message(world, of(asked)), of(asked), anything)

    (given,) = answered.answers
    assert answered.state is ApprovalState.APPROVED
    assert (given.by, given.via, given.yes) == (world.people["ada"].id, "hook:chat", True)
    assert await world.store.replay_differences() == []


async def test_a_no_ends_the_session(world: World) -> None:
    session, asked = await world.wish()

    await world.answers("chat", message(world, of(asked, yes=False)), of(asked, yes=False), anything)

    found = await world.store.session(session.id)
    assert found is not None and found.cause is not None and found.cause.source == "client:ada"


async def test_a_member_of_the_owning_team_answers_as_the_charter_says(world: World) -> None:
    _, asked = await world.wish()

    answered = await world.answers(
        "chat", message(world, of(asked, "U-carol")), of(asked, "U-carol"), anything
    )

    assert answered.state is ApprovalState.APPROVED


@pytest.mark.parametrize(
    ("person", "code"),
    [
        ("U-mallory", "own_request"),  # named as an approver, and of the team that profits
        ("U-eve", "not_an_approver"),
        ("U-nobody", "unlinked_person"),
        ("ada", "unlinked_person"),  # her name here is not her name there
    ],
)
async def test_who_profits_is_not_named_or_is_not_linked_is_refused(
    world: World, person: str, code: str
) -> None:
    _, asked = await world.wish()

    with pytest.raises(Refused, match=code):
        await world.answers("chat", message(world, of(asked, person)), of(asked, person), anything)

    assert not (await world.found(asked.id)).answers


async def test_a_message_counts_once_even_for_another_request(world: World) -> None:
    _, first = await world.wish()
    _, second = await world.wish()
    await world.answers("chat", message(world, of(first)), of(first), anything)

    with pytest.raises(Refused, match="replayed"):
        await world.answers("chat", message(world, of(second)), of(second), anything)
    with pytest.raises(SojournError, match="replayed|wrong_state"):
        await world.answers("chat", message(world, of(first)), of(first), anything)

    assert not (await world.found(second.id)).answers


async def test_an_answer_about_something_else_than_was_shown_is_refused(world: World) -> None:
    _, asked = await world.wish()
    other = replace(of(asked), shown_hash="0" * 64)

    with pytest.raises(Conflict, match="approval_changed"):
        await world.answers("chat", message(world, other), other, anything)


async def test_an_answer_that_comes_too_late_is_refused(world: World) -> None:
    _, asked = await world.wish()
    stale = message(world, of(asked))
    world.clock.at += timedelta(minutes=5, seconds=1)
    with pytest.raises(Unauthenticated, match="bad_signature"):
        await world.answers("chat", stale, of(asked), anything)
    world.clock.at = asked.answer_by

    with pytest.raises(Refused, match="task_expired"):
        await world.answers("chat", message(world, of(asked)), of(asked), anything)


async def test_a_forged_message_is_refused_before_anything_is_said(world: World) -> None:
    _, asked = await world.wish()

    for wrong in (Secret("whsec_AAAA"), Secret("")):
        with pytest.raises(Unauthenticated, match="bad_signature"):
            await world.answers("chat", message(world, of(asked), secret=wrong), of(asked), anything)
    with pytest.raises(NotFound, match="unknown_hook"):
        await world.answers("other", message(world, of(asked)), of(asked), anything)


async def test_a_policy_that_forbids_the_person_to_answer_holds_here_too(world: World) -> None:
    _, asked = await world.wish()

    async def nothing(person: Client, approval: ApprovalId) -> None:
        assert (person.name, approval) == ("ada", asked.id)
        raise Refused("policy_refused", "not at night")

    with pytest.raises(Refused, match="policy_refused"):
        await world.answers("chat", message(world, of(asked)), of(asked), nothing)


async def test_nobody_speaks_for_one_who_left_or_was_unlinked_nor_after_the_hook_is_gone(
    world: World,
) -> None:
    _, asked = await world.wish()
    await world.hooks.unlink("chat", "U-ada")
    with pytest.raises(Refused, match="unlinked_person"):
        await world.answers("chat", message(world, of(asked)), of(asked), anything)

    await world.hooks.remove("chat")

    with pytest.raises(NotFound, match="unknown_hook"):
        await world.answers("chat", message(world, of(asked, "U-carol")), of(asked, "U-carol"), anything)


async def test_an_unlinking_that_comes_between_leaves_no_answer(world: World) -> None:
    _, asked = await world.wish()

    async def meanwhile(person: Client, approval: ApprovalId) -> None:
        await world.hooks.unlink("chat", "U-ada")

    with pytest.raises(Refused, match="unlinked_person"):
        await world.answers("chat", message(world, of(asked)), of(asked), meanwhile)

    assert not (await world.found(asked.id)).answers


async def test_a_linking_of_somebody_else_that_comes_between_does_no_harm(world: World) -> None:
    _, asked = await world.wish()
    newcomers = iter(["U-1"])

    async def meanwhile(person: Client, approval: ApprovalId) -> None:
        for newcomer in newcomers:
            await world.hooks.link("chat", newcomer, world.people["eve"])

    answered = await world.answers("chat", message(world, of(asked)), of(asked), meanwhile)

    assert answered.state is ApprovalState.APPROVED


async def test_a_hook_that_only_tells_takes_no_answer_and_links_nobody(world: World) -> None:
    _, asked = await world.wish()
    _, secret = await world.hooks("quiet", URL, events=["session.ended"], answers=False, by="ada")

    with pytest.raises(NotFound, match="unknown_hook"):
        await world.answers("quiet", message(world, of(asked), secret=secret), of(asked), anything)
    with pytest.raises(Invalid, match="takes_no_answers"):
        await world.hooks.link("quiet", "U-ada", world.people["ada"])


async def test_a_name_there_belongs_to_one_person_and_only_operators_speak(world: World) -> None:
    with pytest.raises(Conflict, match="person_linked"):
        await world.hooks.link("chat", "U-ada", world.people["eve"])
    with pytest.raises(Refused, match="wrong_role"):
        await world.hooks.link("chat", "U-runner", world.people["runner"])
    with pytest.raises(NotFound, match="unknown_person"):
        await world.hooks.unlink("chat", "U-nobody")


async def test_a_hook_has_a_name_of_its_own_and_events_that_there_are(world: World) -> None:
    with pytest.raises(Conflict, match="hook_exists"):
        await world.hooks("chat", URL, events=["session.ended"], answers=False, by="ada")
    for events in (["session.began"], []):
        with pytest.raises(Invalid, match="unknown_event"):
            await world.hooks("other", URL, events=events, answers=False, by="ada")
