"""Who is let in, and who learns nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.client import Role
from sojourn.jose import Es256Key, sign_proof
from tests.faces.samples import ISSUER, a_session
from tests.faces.world import Caller, World

pytestmark = pytest.mark.anyio


async def test_an_operator_with_token_and_proof_is_let_in(world: World) -> None:
    answer = await world.operator.send("GET", "/v1/clients")

    assert answer.status_code == 200
    assert {c["name"] for c in answer.json()["clients"]} == {"op", "orders", "ci"}


async def test_no_proof_is_no_entrance(world: World) -> None:
    answer = await world.http.get("/v1/clients", headers={"Authorization": f"DPoP {world.operator.token}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "missing_proof")
    assert answer.headers["www-authenticate"].startswith("DPoP")


async def test_two_proofs_are_refused(world: World) -> None:
    second = world.operator.proof("GET", "/v1/clients", token=world.operator.token)

    answer = await world.operator.send("GET", "/v1/clients", extra=[("DPoP", second)])

    assert (answer.status_code, answer.json()["code"]) == (401, "missing_proof")


async def test_two_proofs_in_one_header_are_refused(world: World) -> None:
    token = world.operator.token
    both = ", ".join(world.operator.proof("GET", "/v1/clients", token=token) for _ in range(2))

    answer = await world.http.get("/v1/clients", headers={"DPoP": both, "Authorization": f"DPoP {token}"})

    assert answer.status_code == 401


async def test_a_proof_counts_once(world: World) -> None:
    headers = world.operator.headers("GET", "/v1/clients")

    first = await world.http.get("/v1/clients", headers=headers)
    second = await world.http.get("/v1/clients", headers=headers)

    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (401, "replayed_proof")


async def test_a_proof_for_a_change_is_marked_in_the_store(world: World) -> None:
    await world.operator.send("POST", f"/v1/sessions/{await _open(world)}/kill")

    assert any(kind == "dpop" for kind, _ in world.store.once)


async def _open(world: World) -> str:
    _, opened = await world.open()
    session: str = opened["session"]["id"]
    return session


@pytest.mark.parametrize(
    ("method", "url", "shift"),
    [
        ("POST", "/v1/clients", 0),
        ("GET", "/v1/sessions", 0),
        ("GET", "/v1/clients", -61),
        ("GET", "/v1/clients", 11),
    ],
)
async def test_a_proof_for_another_request_or_minute_is_refused(
    world: World, method: str, url: str, shift: int
) -> None:
    from sojourn.core.proof import ath_of

    token = world.operator.token or ""
    when = world.clock.now() + timedelta(seconds=shift)
    proof = sign_proof(world.operator.key, method, ISSUER + url, when, jti="j", ath=ath_of(token))

    answer = await world.http.get("/v1/clients", headers={"DPoP": proof, "Authorization": f"DPoP {token}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_proof")


async def test_a_stolen_token_is_worth_nothing_with_another_key(world: World) -> None:
    thief = Caller(world, Es256Key.generate(), world.operator.client, world.operator.token)

    answer = await thief.send("GET", "/v1/clients")

    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_key")


async def test_a_token_sent_as_bearer_is_refused(world: World) -> None:
    token = world.operator.token
    proof = world.operator.proof("GET", "/v1/clients", token=token)

    answer = await world.http.get("/v1/clients", headers={"DPoP": proof, "Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")


async def test_an_expired_token_is_refused(world: World) -> None:
    world.clock.time += timedelta(seconds=300)

    answer = await world.operator.send("GET", "/v1/clients")

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")


async def test_a_token_of_another_issuer_is_refused(world: World) -> None:
    forged = World()
    token = forged.script.client_token(world.operator.client).jwt if world.operator.client else ""
    caller = Caller(world, world.operator.key, world.operator.client, token)

    answer = await caller.send("GET", "/v1/clients")

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")


async def test_a_removed_client_is_out_at_once(world: World) -> None:
    client = world.operator.client
    assert client is not None
    world.store.people[client.id] = replace(client, removed_at=world.clock.now())

    answer = await world.operator.send("GET", "/v1/clients")

    assert (answer.status_code, answer.json()["code"]) == (401, "client_removed")


async def test_an_access_token_of_a_session_opens_no_management_route(world: World) -> None:
    client = world.operator.client
    assert client is not None
    claims = {"iss": ISSUER, "aud": ISSUER, "sub": client.id, "sid": "ses_1", "exp": 2**40}
    token = world.signer.sign({"typ": "at+jwt"}, {**claims, "cnf": {"jkt": client.thumbprint}})

    answer = await Caller(world, world.operator.key, client, token).send("GET", "/v1/clients")

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")


async def test_each_role_has_its_routes(world: World) -> None:
    asked = {"mark": {"epoch": 1, "n": 7}}

    found = {
        role: (
            (await caller.send("GET", "/v1/clients")).status_code,
            (await caller.send("GET", "/v1/sessions")).status_code,
            (await caller.send("POST", "/v1/feed", asked)).status_code,
        )
        for role, caller in (("op", world.operator), ("guard", world.guard), ("work", world.workload))
    }

    assert found == {"op": (200, 200, 403), "guard": (403, 403, 200), "work": (403, 200, 403)}


async def test_foreign_and_unknown_sessions_read_alike_byte_for_byte(world: World) -> None:
    other = world.enrol("other", Role.WORKLOAD)
    _, opened = await world.open()
    foreign = opened["session"]["id"]
    unknown = a_session(world.workload.client.id, "k").id if world.workload.client else ""
    stranger = world.stranger()

    for caller in (other, stranger):
        for tail in ("", "/leases", "/evidence"):
            seen = await caller.send("GET", f"/v1/sessions/{foreign}{tail}")
            missing = await caller.send("GET", f"/v1/sessions/{unknown}{tail}")
            misspelt = await caller.send("GET", f"/v1/sessions/ses_x{tail}")

            assert seen.status_code == 404
            assert seen.content == missing.content == misspelt.content
            for answer in (seen, missing, misspelt):
                assert answer.headers.pop("x-request-id")  # of each request its own
            assert seen.headers == missing.headers == misspelt.headers
    for verb in ("beat", "complete", "narrow"):
        seen = await stranger.send("POST", f"/v1/sessions/{foreign}/{verb}", {})
        missing = await stranger.send("POST", f"/v1/sessions/{unknown}/{verb}", {})

        assert (seen.status_code, seen.content) == (404, missing.content)


async def test_resume_by_a_stranger_reads_like_an_unknown_session(world: World) -> None:
    _, opened = await world.open()
    stranger = world.stranger()
    body = {"evidence": world.workload.evidence()}

    seen = await stranger.send("POST", f"/v1/sessions/{opened['session']['id']}/resume", body)
    missing = await stranger.send("POST", "/v1/sessions/ses_x/resume", body)

    assert (seen.status_code, seen.content) == (404, missing.content)


@pytest.mark.parametrize("name", ["access_token", "token", "DPoP", "client_assertion"])
async def test_a_token_in_the_query_is_refused(world: World, name: str) -> None:
    answer = await world.operator.send("GET", f"/v1/clients?{name}=x")

    assert (answer.status_code, answer.json()["code"]) == (400, "token_in_query")


async def test_every_answer_forbids_caching_and_sniffing(world: World) -> None:
    for path in ("/healthz", "/v1/clients", "/no/such", "/openapi.json", "/oauth2/jwks"):
        answer = await world.http.get(path)

        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_the_openapi_document_is_served(world: World) -> None:
    answer = await world.http.get("/openapi.json")

    assert json.loads(answer.content)["openapi"].startswith("3.1")
