"""Sessions over HTTP, from open to evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import TargetError
from sojourn.core.ids import SessionId
from sojourn.core.session import State
from sojourn.faces.http import answers
from tests.faces.samples import START, a_lease
from tests.faces.world import Caller, World

pytestmark = pytest.mark.anyio


async def test_an_open_hands_out_the_session_and_its_secrets_once(world: World) -> None:
    caller, opened = await world.open()

    view = answers.OpenedView.model_validate(opened)
    assert view.session.state == "active" and view.session.key == caller.key.thumbprint
    assert view.credentials[0].secret == "once-only"
    assert view.beat_every_s == 10


async def test_a_repeated_open_gets_the_session_and_no_secret(world: World) -> None:
    caller = world.workload_with_key()
    asked = {"task": {"kind": "demo", "ref": "1"}}
    key = [("Idempotency-Key", "k-1")]

    first = await caller.send("POST", "/v1/sessions", {"evidence": caller.evidence(), **asked}, extra=key)
    again = await caller.send("POST", "/v1/sessions", {"evidence": caller.evidence(), **asked}, extra=key)
    other = await caller.send(
        "POST", "/v1/sessions", {"evidence": caller.evidence(), **asked, "duration_s": 5}, extra=key
    )

    assert (first.status_code, again.status_code) == (201, 200)
    repeated = answers.RepeatedView.model_validate(again.json())
    assert repeated.session.id == first.json()["session"]["id"]
    assert "once-only" not in again.text
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_evidence_is_good_once(world: World) -> None:
    caller = world.workload_with_key()
    body = {"evidence": caller.evidence(), "task": {"kind": "demo", "ref": "1"}}

    first = await caller.send("POST", "/v1/sessions", body)
    second = await caller.send("POST", "/v1/sessions", body)

    assert (first.status_code, second.status_code, second.json()["code"]) == (201, 403, "replayed")


async def test_a_target_that_fails_is_a_502_and_no_secret(world: World) -> None:
    caller = world.workload_with_key()
    world.script.failure = TargetError("target_failed", "the target did not answer")

    answer = await caller.send(
        "POST", "/v1/sessions", {"evidence": caller.evidence(), "task": {"kind": "demo", "ref": "1"}}
    )

    assert (answer.status_code, answer.json()["code"]) == (502, "target_failed")


async def test_a_beat_brings_fresh_tokens(world: World) -> None:
    caller, opened = await world.open()

    answer = await caller.send("POST", _path(opened, "/beat"), {})
    empty = await caller.send("POST", _path(opened, "/beat"))

    assert answers.BeatView.model_validate(answer.json()).tokens
    assert empty.status_code == 200


async def test_a_beat_of_an_ended_session_says_why(world: World) -> None:
    caller, opened = await world.open()
    await world.operator.send("POST", _path(opened, "/kill"), {"detail": "enough"})

    answer = await caller.send("POST", _path(opened, "/beat"), {})

    assert answer.status_code == 403
    assert (answer.json()["code"], answer.json()["reason"]) == ("session_ended", "killed")


async def test_a_suspended_session_beats_and_gets_no_tokens(world: World) -> None:
    caller, opened = await world.open()
    await world.operator.send("POST", _path(opened, "/suspend"))

    answer = await caller.send("POST", _path(opened, "/beat"), {})

    assert (answer.status_code, answer.json()["tokens"]) == (200, [])
    assert answer.json()["session"]["state"] == "suspended"


async def test_a_suspended_session_is_resumed_by_its_key_and_fresh_evidence(world: World) -> None:
    caller, opened = await world.open()
    await world.operator.send("POST", _path(opened, "/suspend"))

    answer = await caller.send("POST", _path(opened, "/resume"), {"evidence": caller.evidence()})

    assert answers.OpenedView.model_validate(answer.json()).session.state == "active"


async def test_completing_and_killing_begin_the_end(world: World) -> None:
    caller, opened = await world.open()

    answer = await caller.send("POST", _path(opened, "/complete"))
    again = await world.operator.send("POST", _path(opened, "/kill"))

    assert answers.SessionView.model_validate(answer.json()).state == "revoking"
    assert again.json()["cause"]["reason"] == "completed"


async def test_a_cause_names_the_operator(world: World) -> None:
    _, opened = await world.open()

    answer = await world.operator.send("POST", _path(opened, "/kill"), {"detail": "enough"})

    assert answer.json()["cause"] == {"reason": "killed", "source": "client:op", "detail": "enough"}


async def test_narrowing_gives_tokens_only_to_the_session_itself(world: World) -> None:
    caller, opened = await world.open()
    body = {"drop": ["shop-readonly"], "closes": "2026-01-01T12:01:00Z"}

    by_key = await caller.send("POST", _path(opened, "/narrow"), body)
    by_operator = await world.operator.send("POST", _path(opened, "/narrow"), body)
    by_workload = await world.workload.send("POST", _path(opened, "/narrow"), body)

    assert answers.NarrowedView.model_validate(by_key.json()).tokens
    assert answers.NarrowedView.model_validate(by_operator.json()).tokens == []
    assert (by_workload.status_code, by_workload.json()["code"]) == (403, "wrong_role")


async def test_a_workload_lists_its_own_and_an_operator_all(world: World) -> None:
    await world.open()
    other = await _opened_by_another(world)

    own = await world.workload.send("GET", "/v1/sessions")
    everything = await world.operator.send("GET", "/v1/sessions")
    foreign = await world.workload.send("GET", f"/v1/sessions?client={other.client}")

    assert [
        len(answers.SessionsView.model_validate(a.json()).sessions) for a in (own, everything, foreign)
    ] == [1, 2, 0]


async def test_pages_follow_each_other_without_gap_or_repeat(world: World) -> None:
    for _ in range(5):
        await world.open()

    seen, after = [], ""
    while True:
        page = (await world.operator.send("GET", f"/v1/sessions?limit=2{after}")).json()
        seen += [s["id"] for s in page["sessions"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert len(seen) == 5 and seen == sorted(set(seen))


async def test_waiting_for_the_end_answers_after_its_time(world: World) -> None:
    _, opened = await world.open()

    answer = await world.operator.send("GET", _path(opened, "?until=ended&wait_s=3"))

    assert answer.json()["state"] == "active"
    assert 3 <= world.clock.slept < 3.1


async def test_waiting_for_the_end_answers_when_it_has_come(world: World) -> None:
    _, opened = await world.open()
    row = world.store.rows[SessionId(opened["session"]["id"])]
    cause = Cause(Reason.KILLED, "x")
    world.store.rows[row.id] = replace(row, state=State.ENDED, cause=cause, refused_at=START, ended_at=START)

    answer = await world.operator.send("GET", _path(opened, "?until=ended&wait_s=3"))

    assert answers.SessionView.model_validate(answer.json()).state == "ended"
    assert world.clock.slept == 0


async def test_leases_and_evidence_are_for_those_who_may_see_the_session(world: World) -> None:
    caller, opened = await world.open()
    world.store.lease_rows.append(a_lease(world.store.rows[SessionId(opened["session"]["id"])]))

    for viewer in (caller, world.operator, world.workload):
        leases = await viewer.send("GET", _path(opened, "/leases"))
        evidence = await viewer.send("GET", _path(opened, "/evidence"))

        assert answers.LeasesView.model_validate(leases.json()).leases[0].handle == "sj_dev0_1"
        assert evidence.text.startswith("sojourn bundle")
        assert evidence.headers["content-type"] == "text/plain; charset=utf-8"


async def _opened_by_another(world: World) -> Any:
    from sojourn.core.client import Role

    other = world.enrol("other", Role.WORKLOAD)
    caller = Caller(world, other.key, other.client)
    body = {"evidence": caller.evidence(), "task": {"kind": "demo", "ref": "2"}}
    answer = await caller.send("POST", "/v1/sessions", body)
    return world.store.rows[SessionId(answer.json()["session"]["id"])]


def _path(opened: dict[str, Any], tail: str) -> str:
    return f"/v1/sessions/{opened['session']['id']}{tail}"


def test_a_span_is_written_in_the_largest_exact_unit() -> None:
    from sojourn.faces.http.charter_views import span

    written = [span(timedelta(seconds=s)) for s in (1, 60, 90, 3600, 86_400)]

    assert written == ["1s", "1m", "90s", "1h", "1d"]
