"""A caller that calls too often waits; others do not, and nothing that ends access ever does."""

from __future__ import annotations

import pytest

from sojourn.core.errors import Unavailable
from sojourn.faces.http.limits import Pace
from tests.faces.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> World:
    """A face that lets each caller through five times a second."""
    return World(pace=Pace(5))


async def test_one_caller_is_told_to_wait_and_no_other(world: World) -> None:
    mine = [(await world.operator.send("GET", "/v1/targets")).status_code for _ in range(12)]
    refused = await world.operator.send("GET", "/v1/targets")
    other = await world.guard.send("POST", "/v1/feed", {"mark": None})
    world.clock.slept += 1
    later = await world.operator.send("GET", "/v1/targets")

    assert mine[:5] == [200] * 5 and mine[-1] == 429
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("too_many_calls", "1")
    assert (other.status_code, later.status_code) == (200, 200)


async def test_a_session_has_a_pace_of_its_own(world: World) -> None:
    caller, opened = await world.open()
    path = f"/v1/sessions/{opened['session']['id']}"

    beats = [(await caller.send("POST", f"{path}/beat", {})).status_code for _ in range(12)]
    done = await caller.send("POST", f"{path}/complete", {})

    assert beats[0] == 200 and beats[-1] == 429
    assert done.status_code == 200, "the workload can always say that it is done"


@pytest.mark.parametrize("verb", ["kill", "suspend"])
async def test_a_flood_does_not_keep_its_sender_from_ending_sessions(world: World, verb: str) -> None:
    _, opened = await world.open()
    path = f"/v1/sessions/{opened['session']['id']}/{verb}"
    while (await world.operator.send("GET", "/v1/clients")).status_code == 200:
        pass

    ended = [await world.operator.send("POST", path) for _ in range(3)]

    assert ended[0].status_code == 200 and all(answer.status_code != 429 for answer in ended)


async def test_a_name_like_a_verb_is_no_way_around(world: World) -> None:
    seen = [(await world.operator.send("GET", "/v1/targets/kill")).status_code for _ in range(12)]

    assert seen[-1] == 429


def test_a_pace_is_kept_over_time_and_forgets_the_quietest() -> None:
    pace, let = Pace(10, most=3), 0
    for tick in range(1000):  # a hundred calls a second, for ten seconds
        try:
            pace.take("busy", tick / 100)
            let += 1
        except Unavailable:
            continue
    for number in range(50):
        pace.take(f"caller-{number}", 10.0)

    assert 100 <= let <= 112
    assert len(pace._even) == 3
