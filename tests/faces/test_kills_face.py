"""`/v1/kills` and `/v1/offboardings`: counted first, an order is accepted, not done."""

from __future__ import annotations

import pytest

from sojourn.faces.http import kills
from tests.faces.world import World

pytestmark = pytest.mark.anyio
ORDER = {"kind": "client", "name": "ci"}


async def test_a_dry_run_only_counts(world: World) -> None:
    answer = await world.operator.send("POST", "/v1/kills", {**ORDER, "dry_run": True})

    found = kills.CountView.model_validate(answer.json())
    assert (answer.status_code, found.total, found.sessions) == (200, 3, {"active": 2, "suspended": 1})


async def test_an_order_is_accepted_and_says_its_number(world: World) -> None:
    answer = await world.operator.send("POST", "/v1/kills", {**ORDER, "detail": "leak"})

    found = kills.KillView.model_validate(answer.json())
    assert (answer.status_code, found.n, found.by, found.state) == (202, 8, "client:op", "ordered")


@pytest.mark.parametrize("kind", ["client", "owner", "charter", "task", "target", "key", "family"])
async def test_a_selector_without_a_name_is_refused(world: World, kind: str) -> None:
    answer = await world.operator.send("POST", "/v1/kills", {"kind": kind})

    assert (answer.status_code, answer.json()["code"]) == (422, "bad_selector")


async def test_only_operators_order_and_look(world: World) -> None:
    for caller in (world.guard, world.workload):
        for method, path, body in (
            ("POST", "/v1/kills", ORDER),
            ("GET", "/v1/kills", None),
            ("POST", "/v1/offboardings", {"owner": "ops"}),
        ):
            answer = await caller.send(method, path, body)
            assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")


async def test_an_owner_is_counted_before_it_is_offboarded(world: World) -> None:
    counted = await world.operator.send("POST", "/v1/offboardings", {"owner": "team", "dry_run": True})
    done = await world.operator.send("POST", "/v1/offboardings", {"owner": "team"})

    seen = kills.OffboardedView.model_validate(counted.json())
    left = kills.OffboardedView.model_validate(done.json())
    assert (counted.status_code, seen.kills, seen.charters) == (200, [], ["demo@1"])
    assert (done.status_code, len(left.kills)) == (202, 1)


async def test_an_order_that_is_not_there_is_not_found(world: World) -> None:
    for name in ("kil_0", "x", "ses_0"):
        answer = await world.operator.send("GET", f"/v1/kills/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
