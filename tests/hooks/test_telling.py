"""What hooks are told: each fact in order, signed, again until it is taken, while it is worth telling."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise

import pytest

from sojourn.client.jsonfacts import member
from sojourn.core.approval import hash_of
from sojourn.core.errors import NotFound
from sojourn.core.hook import GIVE_UP_AFTER, RETRY_CEILING, retry_after
from sojourn.core.session import State
from sojourn.core.signed_message import require_signed
from sojourn.services.tell_hooks import HOLD, TellHooks
from tests.hooks.world import ISSUER, URL, Sealing, World

pytestmark = pytest.mark.anyio
SECOND = timedelta(seconds=1)


def told(world: World) -> list[dict[str, object]]:
    return [json.loads(body) for _, _, body in world.receiver.got]


def kinds(world: World) -> list[object]:
    return [one["type"] for one in told(world)]


async def test_a_request_is_told_whole_and_signed(world: World) -> None:
    hook = await world.furnish()
    session, asked = await world.wish()

    await world.node().turn(hook)

    ((at, headers, body),) = world.receiver.got
    event = json.loads(body)
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert require_signed(headers, body, world.secret, at) == headers["webhook-id"] == event["id"]
    assert event["specversion"] == "1.0" and event["source"] == ISSUER
    assert event["type"] == "sojourn.approval.requested" and event["subject"] == asked.id
    data = event["data"]
    assert hash_of(data["shown"]) == data["hash"] == asked.shown_hash
    assert data["session"] == session.id and data["requester"] == "runner"
    assert data["answer_at"] == f"{ISSUER}/answers/chat" and data["status"] == "pending"


async def test_what_happened_is_told_in_order_and_nothing_else(world: World) -> None:
    hook = await world.furnish("session.ending", "session.ended", "approval.requested")
    session, _ = await world.wish()
    await world.kill(session)

    node = world.node()
    while await node.turn(hook):
        pass

    assert kinds(world) == ["sojourn.approval.requested", "sojourn.session.ended"]
    *_, last = told(world)
    data = last["data"]
    assert isinstance(data, dict)
    assert data["cause"] == {"reason": "killed", "source": "client:ada", "detail": "enough"}
    places = [str(one["sequence"]) for one in told(world)]
    assert places == sorted(places)


async def test_an_event_tells_state_and_cause_as_they_were_however_late_it_comes(world: World) -> None:
    hook = await world.furnish("session.suspended", "session.ending")
    session = await world.active()
    await world.suspend(session)
    await world.kill(session)

    await world.node().turn(hook)

    suspended, ending = (member(one, "data") for one in told(world))
    assert (suspended["state"], member(suspended, "cause")["reason"]) == ("suspended", "suspended")
    assert (ending["state"], member(ending, "cause")["reason"]) == ("revoking", "killed")


async def test_what_happened_before_a_hook_was_added_is_not_told(world: World) -> None:
    await world.furnish()
    await world.wish()
    await world.hooks.remove("chat")
    hook, _ = await world.hooks(
        "again", "https://chat.example/in", events=["approval.requested"], answers=False, by="ada"
    )

    await world.node().turn(hook)

    assert world.receiver.got == []


@pytest.mark.parametrize("status", [0, 500, 503, 429, 404, 302])
async def test_what_is_not_taken_is_told_again_under_the_same_id(world: World, status: int) -> None:
    hook = await world.furnish("approval.requested")
    await world.wish()
    world.receiver.script = [status, status]
    node = world.node()

    for _ in range(8):
        await node.turn(hook)
        world.clock.at += SECOND

    waits = [at for at, _, _ in world.receiver.got]
    assert [later - one for one, later in pairwise(waits)] == [SECOND, 2 * SECOND]
    assert len({one["id"] for one in told(world)}) == 1
    place = await world.store.hook_place(hook.id)
    assert place is not None and (place.attempts, place.given_up, place.error) == (0, 0, "")


async def test_a_message_that_is_never_taken_is_given_up_and_counted_and_the_next_is_told(
    world: World,
) -> None:
    hook = await world.furnish("approval.requested")
    await world.wish()
    _, second = await world.wish()
    world.receiver.script = [422]
    node = world.node()

    await node.turn(hook)

    place = await world.store.hook_place(hook.id)
    assert [one["subject"] for one in told(world)][1:] == [second.id]
    assert place is not None and place.given_up == 1


async def test_a_request_that_has_expired_is_not_told(world: World) -> None:
    hook = await world.furnish("approval.requested", "approval.denied")
    _, asked = await world.wish()
    world.receiver.script = [500]
    node = world.node()
    await node.turn(hook)
    world.clock.at = asked.answer_by

    await node.turn(hook)

    place = await world.store.hook_place(hook.id)
    assert len(world.receiver.got) == 1 and place is not None and place.given_up == 1


async def test_an_address_that_is_away_for_days_loses_what_is_too_old_and_hears_the_rest(
    world: World,
) -> None:
    hook = await world.furnish("session.ended")
    first, _ = await world.wish()
    await world.kill(first)
    world.receiver.script = [0]
    node = world.node()
    await node.turn(hook)
    world.clock.at += GIVE_UP_AFTER
    later, _ = await world.wish()
    await world.kill(later)

    while await node.turn(hook):
        pass

    *_, last = told(world)
    assert len(world.receiver.got) == 2 and last["subject"] == later.id


def test_retries_wait_longer_each_time_and_never_longer_than_their_ceiling() -> None:
    waits = [retry_after(attempts) for attempts in range(1, 60)]

    assert waits[:4] == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]
    assert waits == sorted(waits) and max(waits) == RETRY_CEILING


async def test_one_node_tells_at_a_time_and_another_takes_over_from_a_dead_one(world: World) -> None:
    hook = await world.furnish("approval.requested")
    await world.wish()
    now = world.clock.now()
    assert await world.store.hold_hook(hook, "dead", now, now + HOLD) is not None

    await world.node().turn(hook)
    assert world.receiver.got == []
    world.clock.at += HOLD
    await world.node().turn(hook)

    assert len(world.receiver.got) == 1


async def test_what_was_sent_and_not_written_down_is_sent_again_and_shows_it(world: World) -> None:
    hook = await world.furnish("approval.requested")
    await world.wish()
    now = world.clock.now()

    await world.node("one").turn(hook)
    # As a crash leaves it: the hook was held, the event sent, the place not moved.
    place = await world.store.hold_hook(hook, "crash", now, now + HOLD)
    assert place is not None
    await world.store.move_hook(hook.id, "crash", type(place)(hook.since))
    await world.node("two").turn(hook)

    first, second = told(world)
    assert first == second


async def test_a_hook_that_is_removed_has_no_secret_left(world: World) -> None:
    hook = await world.furnish()
    sealed = await world.store.sealed(f"hook:{hook.id}")
    assert sealed is not None and world.secret.reveal().encode() not in sealed

    await world.hooks.remove("chat")

    await world.wish()
    with pytest.raises(NotFound, match="unknown_hook"):
        await world.node().turn(hook)
    assert await world.store.sealed(f"hook:{hook.id}") is None and not await world.store.hooks()
    assert world.receiver.got == []
    assert await world.store.replay_differences() == []


class OneIsSilent:
    """Answers everywhere but at `URL`, where a request hangs for ever."""

    def __init__(self) -> None:
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        if url == URL:
            self.asked.set()
            await asyncio.Event().wait()
        if b"sojourn.session.ended" in body:
            self.told.set()
        return 204


async def test_a_hook_that_never_answers_holds_up_neither_an_end_nor_another_hook(world: World) -> None:
    await world.furnish()
    await world.hooks("other", "https://other.example/", events=["session.ended"], answers=False, by="ada")
    send = OneIsSilent()
    node = TellHooks(world.store, world.clock, send, sealer=Sealing(), issuer=ISSUER, holder="node")
    session, _ = await world.wish()

    telling = asyncio.create_task(node.run())
    async with asyncio.timeout(20):
        await send.asked.wait()
        await world.kill(session)
        await send.told.wait()
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)

    found = await world.store.session(session.id)
    assert found is not None and found.state is State.ENDED
