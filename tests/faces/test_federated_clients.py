"""Clients with a rule instead of a key: registered by operators, and never by halves."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn.faces.http import answers
from sojourn.jose import Es256Key
from tests.faces.world import World

pytestmark = pytest.mark.anyio
RULE = {"repository_id": "42", "environment": "production"}
BODY: dict[str, Any] = {
    "name": "deploy",
    "role": "workload",
    "owner": "ops",
    "attestor": "github_actions",
    "rule": RULE,
}


async def test_a_workload_is_registered_by_its_rule_and_has_no_key(world: World) -> None:
    made = await world.operator.send("POST", "/v1/clients", BODY)

    shown = answers.ClientView.model_validate(made.json())
    assert made.status_code == 201
    assert (shown.jwk, shown.thumbprint, shown.attestor) == ({}, "", "github_actions")
    assert shown.rule.items() >= RULE.items() and shown.rule["audience"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"role": "guard", "audience": "https://api.example"}, "invalid_request"),
        ({"role": "operator"}, "invalid_request"),
        ({"jwk": dict(Es256Key.generate().jwk)}, "invalid_request"),
        ({"audience": "https://api.example"}, "invalid_request"),
        ({"attestor": "private_key_jwt"}, "unknown_attestor"),
        ({"attestor": "unheard"}, "unknown_attestor"),
        ({"rule": {}}, "bad_rule"),
        ({"rule": {"repository": "octo-org/shop", "environment": "x"}}, "bad_rule"),
        ({"rule": {**RULE, "ref": "refs/heads/*"}}, "bad_rule"),
        ({"rule": {**RULE, "audience": "https://elsewhere.example"}}, "bad_rule"),
        ({"rule": {**RULE, "issuer": "http://127.0.0.1"}}, "bad_rule"),
        ({"rule": {**RULE, "a b": "x"}}, "invalid_request"),
        ({"rule": {**RULE, "ref": 7}}, "invalid_request"),
        ({"attestor": None}, "invalid_request"),
    ],
)
async def test_half_a_registration_is_refused(world: World, change: dict[str, Any], code: str) -> None:
    answer = await world.operator.send("POST", "/v1/clients", {**BODY, **change})

    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


async def test_only_operators_register_rules(world: World) -> None:
    for caller in (world.workload, world.guard):
        answer = await caller.send("POST", "/v1/clients", BODY)

        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")


async def test_a_beat_may_bring_evidence_and_a_completion_the_word_of_a_platform(world: World) -> None:
    caller, opened = await world.open()
    path = f"/v1/sessions/{opened['session']['id']}"

    beaten = await caller.send(
        "POST", f"{path}/beat", {"evidence": {**caller.evidence(), "client": "deploy"}}
    )
    done = await caller.send("POST", f"{path}/complete", {"job_finished": "the job is over"})

    assert (beaten.status_code, done.status_code) == (200, 200)
    assert world.script.calls[-2:] == ["beat", "end"]


@pytest.mark.parametrize(
    "body",
    [
        {"evidence": {}},
        {"evidence": {"type": "x", "assertion": ""}},
        {"evidence": "x"},
        {"job_finished": "x"},
    ],
)
async def test_a_malformed_beat_is_refused(world: World, body: dict[str, Any]) -> None:
    caller, opened = await world.open()

    answer = await caller.send("POST", f"/v1/sessions/{opened['session']['id']}/beat", body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
