"""Nonces in proofs: asked for where configured, at the token endpoint and at every other route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import httpx2
import pytest

from sojourn.core.nonce import WINDOW_S, nonces_at
from sojourn.core.proof import ath_of
from sojourn.faces.http.app import build
from sojourn.jose import sign_client_assertion, sign_proof
from tests.faces.attesting import JwtAttestor
from tests.faces.samples import ISSUER
from tests.faces.world import World

pytestmark = pytest.mark.anyio
SECRET = b"s" * 32


@pytest.fixture
async def world(anyio_backend: str) -> AsyncIterator[World]:
    made = World()
    app = build(replace(made.desk(JwtAttestor(made.store)), nonce_secret=SECRET))
    made.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ISSUER)
    yield made
    await made.http.aclose()


async def _list(world: World, nonce: str | None) -> httpx2.Response:
    caller = world.operator
    token = caller.token or ""
    now, url = world.clock.now(), ISSUER + "/v1/clients"
    proof = sign_proof(caller.key, "GET", url, now, jti=f"{nonce}{now}", ath=ath_of(token), nonce=nonce)
    return await world.http.get("/v1/clients", headers={"Authorization": f"DPoP {token}", "DPoP": proof})


async def test_a_proof_without_a_nonce_is_told_which_to_carry(world: World) -> None:
    refused = await _list(world, None)

    assert (refused.status_code, refused.json()["code"]) == (401, "use_dpop_nonce")
    assert 'error="use_dpop_nonce"' in refused.headers["www-authenticate"]
    assert (await _list(world, refused.headers["dpop-nonce"])).status_code == 200


async def test_a_nonce_is_good_for_its_minute_and_the_next(world: World) -> None:
    nonce = (await _list(world, None)).headers["dpop-nonce"]
    codes = []

    for _ in range(3):
        codes.append((await _list(world, nonce)).status_code)
        world.clock.time += timedelta(seconds=WINDOW_S)

    assert codes == [200, 200, 401]


@pytest.mark.parametrize("nonce", ["", "a", nonces_at(b"another", World().clock.now())[0]])
async def test_a_nonce_of_nobody_is_refused(world: World, nonce: str) -> None:
    assert (await _list(world, nonce)).json()["code"] == "use_dpop_nonce"


async def test_the_token_endpoint_asks_in_oauths_form_and_the_assertion_is_not_spent(world: World) -> None:
    caller, now = world.operator, world.clock.now()
    assert caller.client is not None
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": sign_client_assertion(caller.key, caller.client.id, ISSUER, now, jti="a"),
    }

    async def ask(nonce: str | None) -> httpx2.Response:
        proof = sign_proof(caller.key, "POST", ISSUER + "/oauth2/token", now, jti=f"{nonce}", nonce=nonce)
        kind = "application/x-www-form-urlencoded"
        headers = {"DPoP": proof, "Content-Type": kind}
        return await world.http.post("/oauth2/token", content=urlencode(form), headers=headers)

    refused = await ask(None)

    assert (refused.status_code, refused.json()["error"]) == (400, "use_dpop_nonce")
    assert (await ask(refused.headers["dpop-nonce"])).status_code == 200
