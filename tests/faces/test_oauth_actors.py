"""Tokens that name who alone may act by them (`may_act`, RFC 8693, section 4.4)."""

from __future__ import annotations

import json
import uuid

import httpx2
import pytest

from sojourn.client.signing import Es256Key as ClientKey
from sojourn.client.signing import sign_introduction
from tests.faces.samples import ISSUER
from tests.faces.test_oauth_face import JWT, TOKEN, a_token, asserting, inspected, post, proof, subject
from tests.faces.world import Caller, World

pytestmark = pytest.mark.anyio


async def test_a_token_that_names_its_actor_makes_that_child_and_no_other(world: World) -> None:
    holder, token = await a_token(world)
    parent = ClientKey.read(json.loads(holder.key.secret_jwk().reveal()))
    named, other = world.stranger(), world.stranger()

    async def exchanged(value: str, actor: str) -> httpx2.Response:
        details = json.dumps([{"type": "sojourn_session", "may_act": {"sub": actor}}])
        return await post(world, TOKEN, subject(value, authorization_details=details), proof(holder))

    async def child(value: str, who: Caller) -> httpx2.Response:
        thumbprint, jti = who.key.thumbprint, str(uuid.uuid4())
        word = sign_introduction(parent, thumbprint, ISSUER, world.clock.now(), jti=jti)
        return await post(world, TOKEN, subject(value, actor_token=word, actor_token_type=JWT), proof(who))

    given = (await exchanged(token, named.key.thumbprint)).json()["access_token"]
    again = (await post(world, TOKEN, subject(given), proof(holder))).json()["access_token"]
    told = (await inspected(world, world.operator, given)).json()
    refused = [await child(value, other) for value in (given, again)]
    refused.append(await exchanged(given, other.key.thumbprint))

    assert told["may_act"] == {"sub": named.key.thumbprint}
    assert {(one.status_code, one.json()["error"]) for one in refused} == {(400, "invalid_request")}
    assert (await child(given, named)).status_code == 200, "its introduction was not needed for the refusals"
    assert (await child(token, other)).status_code == 200, "a token that names nobody lets any child in"


@pytest.mark.parametrize("may_act", [{}, {"sub": "x"}, {"sub": "a" * 43, "iss": "b"}, [], "a" * 43])
async def test_an_actor_that_cannot_be_meant_is_refused(world: World, may_act: object) -> None:
    holder, token = await a_token(world)
    details = json.dumps([{"type": "sojourn_session", "may_act": may_act}])

    answer = await post(world, TOKEN, subject(token, authorization_details=details), proof(holder))

    assert answer.json()["error"] == "invalid_authorization_details"


async def test_an_actor_is_named_for_ones_own_token_only(world: World) -> None:
    actor = {"sub": "a" * 43}
    task = {"kind": "demo", "ref": "1"}
    details = json.dumps([{"type": "sojourn_session", "task": task, "may_act": actor}])
    form = asserting(world.workload, grant_type="client_credentials", authorization_details=details)

    answer = await post(world, TOKEN, form, proof(world.stranger()))

    assert answer.json()["error"] == "invalid_authorization_details"
