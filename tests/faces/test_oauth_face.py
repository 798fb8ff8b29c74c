"""The OAuth endpoints over HTTP: what is given, what is refused, and in which words."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from sojourn.client.signing import Es256Key as ClientKey
from sojourn.client.signing import sign_introduction
from sojourn.core.change import RevocationKind
from sojourn.core.ids import SessionId
from sojourn.core.session import State
from sojourn.faces.http import oauth_answers
from sojourn.faces.http.oauth_inspect import INACTIVE, SIGNED
from sojourn.jose import INTROSPECTION, Es256Key, read_foreign_keys, verify_statement
from sojourn.ports.store import FeedEntry, FeedPage, Mark
from tests.faces.samples import ISSUER
from tests.faces.world import Caller, Headers, World

pytestmark = pytest.mark.anyio

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
API = "https://api.example"
DETAILS = {"type": "sojourn_session", "task": {"kind": "demo", "ref": "7"}}
TOKEN = "/oauth2/token"


async def post(
    world: World, path: str, form: dict[str, str] | list[tuple[str, str]], headers: Headers | None = None
) -> httpx2.Response:
    told = [("Content-Type", "application/x-www-form-urlencoded"), *(headers or [])]
    return await world.http.post(path, content=urlencode(form).encode(), headers=told)


def proof(caller: Caller, path: str = TOKEN) -> Headers:
    return [("DPoP", caller.proof("POST", path))]


def asserting(caller: Caller, **form: str) -> dict[str, str]:
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": caller.assertion(), **form}


async def opened(world: World, by: Caller | None = None, /, **form: str) -> httpx2.Response:
    """A session by client credentials, bound to the key of `holder`."""
    asked = {"grant_type": "client_credentials", "authorization_details": json.dumps([DETAILS]), **form}
    return await post(world, TOKEN, asserting(world.workload, **asked), proof(by or world.stranger()))


async def a_token(world: World) -> tuple[Caller, str]:
    holder = world.stranger()
    given: dict[str, Any] = (await opened(world, holder)).json()
    return holder, given["access_token"]


def subject(token: str, **form: str) -> dict[str, str]:
    return {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN, **form}


# -- client credentials, jwt-bearer ------------------------------------------------------------


async def test_a_session_is_opened_at_the_token_endpoint_and_told_once(world: World) -> None:
    holder = world.stranger()

    answer = await opened(world, holder, resource=API)

    given = oauth_answers.TokenResponseView.model_validate(answer.json())
    assert given.authorization_details and given.credentials and given.scope == "orders:read"
    session = world.store.rows[given.authorization_details[0].identifier]
    assert session.key == holder.key.thumbprint and session.task.ref == "7"
    assert given.credentials[0].secret == "once-only"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
        ({"authorization_details": "{"}, "invalid_authorization_details"),
        ({"authorization_details": json.dumps([DETAILS, DETAILS])}, "invalid_authorization_details"),
        ({"authorization_details": json.dumps([{**DETAILS, "type": "x"}])}, "invalid_authorization_details"),
        ({"authorization_details": json.dumps([{**DETAILS, "rank": 1}])}, "invalid_authorization_details"),
        (
            {"authorization_details": json.dumps([{"type": "sojourn_session"}])},
            "invalid_authorization_details",
        ),
        (
            {"authorization_details": '[{"type":"sojourn_session","type":"x"}]'},
            "invalid_authorization_details",
        ),
        (
            {"authorization_details": json.dumps([{**DETAILS, "duration_s": 0}])},
            "invalid_authorization_details",
        ),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": f"{API}#part"}, "invalid_target"),
        ({"resource": "api"}, "invalid_target"),
        ({"scope": "orders:burn"}, "invalid_scope"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ({"client_assertion_type": "saml"}, "invalid_client"),
        ({"client_assertion": "x.y.z"}, "invalid_client"),
    ],
)
async def test_what_cannot_be_given_is_said_in_oauths_words(
    world: World, form: dict[str, str], error: str
) -> None:
    answer = await opened(world, **form)

    assert answer.json()["error"] == error, answer.text
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert all(session.state is not State.ACTIVE for session in world.store.rows.values())


async def test_a_repeated_parameter_is_refused_and_an_unknown_one_is_not(world: World) -> None:
    form = list(asserting(world.workload, grant_type="client_credentials").items())
    headers = proof(Caller(world, world.workload.key))

    twice = await post(world, TOKEN, [*form, ("scope", "a"), ("scope", "b")], headers)
    unknown = await post(world, TOKEN, [*form, ("colour", "red"), ("scope", "")], headers)
    two = await post(world, TOKEN, [*form, ("resource", API), ("resource", ISSUER)], headers)

    assert [answer.status_code for answer in (twice, unknown, two)] == [400, 200, 400]
    assert (twice.json()["error"], two.json()["error"]) == ("invalid_request", "invalid_target")


async def test_an_assertion_is_a_grant_too_and_serves_once(world: World) -> None:
    assertion = world.workload.assertion()
    form = {
        "grant_type": JWT_BEARER,
        "assertion": assertion,
        "authorization_details": json.dumps([DETAILS]),
    }

    first = await post(world, TOKEN, form, proof(world.stranger()))
    second = await post(world, TOKEN, form, proof(world.stranger()))
    unknown = await post(
        world,
        TOKEN,
        {**form, "authorization_details": json.dumps([{**DETAILS, "evidence": "runes"}])},
        proof(world.stranger()),
    )

    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")
    assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_grant")


async def test_without_a_proof_or_with_a_used_one_nothing_is_given(world: World) -> None:
    form = asserting(
        world.workload, grant_type="client_credentials", authorization_details=json.dumps([DETAILS])
    )
    used = proof(world.stranger())

    none = await post(world, TOKEN, form)
    first = await post(world, TOKEN, form, used)
    again = await post(world, TOKEN, {**form, "client_assertion": world.workload.assertion()}, used)

    assert [answer.status_code for answer in (none, first, again)] == [400, 200, 400]
    assert none.json()["error"] == again.json()["error"] == "invalid_dpop_proof"


# -- token exchange ------------------------------------------------------------------------------


async def test_the_holder_exchanges_a_token_for_fewer_actions(world: World) -> None:
    holder, token = await a_token(world)

    answer = await post(world, TOKEN, subject(token, resource=API, scope="orders:read"), proof(holder))

    given = oauth_answers.TokenResponseView.model_validate(answer.json())
    assert given.issued_token_type == ACCESS_TOKEN and given.access_token != token


@pytest.mark.parametrize(
    "form",
    [
        {"subject_token": "x"},
        {"subject_token_type": JWT + "x"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"actor_token": "x"},
        {"actor_token_type": JWT},
        {"actor_token": "x", "actor_token_type": JWT},
        {"actor_token": "x", "actor_token_type": ACCESS_TOKEN},
    ],
    ids=lambda form: "-".join(form),
)
async def test_an_exchange_that_makes_no_sense_is_refused(world: World, form: dict[str, str]) -> None:
    holder, token = await a_token(world)

    answer = await post(world, TOKEN, {**subject(token), **form}, proof(holder))

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_stolen_token_is_exchanged_by_nobody(world: World) -> None:
    _, token = await a_token(world)

    by_a_thief = await post(world, TOKEN, subject(token), proof(world.stranger()))
    other = asserting(world.guard, **subject(token))
    by_another_client = await post(world, TOKEN, other, proof(world.stranger()))

    assert by_a_thief.json()["error"] == "invalid_dpop_proof"
    assert by_another_client.json()["error"] == "unauthorized_client"


def introduced(world: World, child: Caller, issuer: str = ISSUER) -> tuple[ClientKey, str]:
    parent = ClientKey.generate()
    now = world.clock.now()
    return parent, sign_introduction(parent, child.key.thumbprint, issuer, now, jti=str(uuid.uuid4()))


async def test_a_parent_introduces_its_child_which_gets_a_session_of_its_own(world: World) -> None:
    holder, token = await a_token(world)
    parent = ClientKey.read(json.loads(holder.key.secret_jwk().reveal()))
    child = world.stranger()
    jti = str(uuid.uuid4())
    word = sign_introduction(parent, child.key.thumbprint, ISSUER, world.clock.now(), jti=jti)
    form = subject(token, actor_token=word, actor_token_type=JWT)

    answer = await post(world, TOKEN, form, proof(child))
    again = await post(world, TOKEN, form, proof(child))
    thief = await post(world, TOKEN, form, proof(world.stranger()))

    given = oauth_answers.TokenResponseView.model_validate(answer.json())
    assert given.authorization_details
    born = world.store.rows[given.authorization_details[0].identifier]
    assert born.key == child.key.thumbprint and len(born.ancestors) == 1
    assert again.json()["error"] == thief.json()["error"] == "invalid_request", "it serves once, and one"


async def test_an_introduction_by_another_key_or_for_another_server_is_refused(world: World) -> None:
    _, token = await a_token(world)
    child = world.stranger()

    for issuer in (ISSUER, "https://elsewhere.example"):
        _, word = introduced(world, child, issuer)
        form = subject(token, actor_token=word, actor_token_type=JWT)
        answer = await post(world, TOKEN, form, proof(child))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# -- introspection and revocation ------------------------------------------------------------------


async def inspected(world: World, caller: Caller, token: str) -> httpx2.Response:
    return await post(world, "/oauth2/introspect", asserting(caller, token=token))


async def test_a_token_is_told_to_its_audience_its_client_and_operators(world: World) -> None:
    holder, token = await a_token(world)

    answers = [await inspected(world, who, token) for who in (world.guard, world.workload, world.operator)]
    by_token = await post(
        world, "/oauth2/introspect", {"token": token}, world.guard.headers("POST", "/oauth2/introspect")
    )

    for answer in (*answers, by_token):
        told = oauth_answers.IntrospectionView.model_validate(answer.json())
        assert told.active and told.cnf and told.cnf.jkt == holder.key.thumbprint
        assert told.aud == API and told.scope == "orders:read" and told.token_type == "DPoP"
        assert answer.headers["cache-control"] == "no-store"


async def test_a_signed_answer_is_for_its_asker_alone_and_is_no_token(world: World) -> None:
    _, token = await a_token(world)
    keys = read_foreign_keys({"keys": world.signer.public_keys()})
    accept = [("Accept", SIGNED)]

    for text, active in ((token, True), ("x", False)):
        answer = await post(world, "/oauth2/introspect", asserting(world.guard, token=text), accept)
        assert world.guard.client and answer.headers["content-type"] == SIGNED
        told = verify_statement(
            answer.text, keys, INTROSPECTION, issuer=ISSUER, audience=world.guard.client.id
        )
        inner = told["token_introspection"]
        assert isinstance(inner, dict) and inner["active"] is active and "exp" not in told


async def test_whatever_is_wrong_reads_alike_byte_for_byte(world: World) -> None:
    _, token = await a_token(world)
    stranger = world.enrol("other", world.workload.client.role) if world.workload.client else world.workload
    forged = Es256Key.generate().sign({"typ": "at+jwt", "kid": world.signer.kid}, {"iss": ISSUER})
    wrong = ["", "x", "a.b.c", token[:-4] + "AAAA", forged, str(world.guard.token), "x" * 9000]

    answers = [await inspected(world, world.guard, text) for text in wrong if text]
    answers.append(await inspected(world, stranger, token))
    world.clock.time = world.clock.time.replace(year=world.clock.time.year + 1)
    answers.append(await inspected(world, world.guard, token))

    assert {(answer.status_code, answer.content) for answer in answers} == {(200, INACTIVE)}


@pytest.mark.parametrize("kind", [RevocationKind.SESSION, RevocationKind.CLIENT, RevocationKind.FAMILY])
async def test_a_revocation_counts_in_the_very_next_answer(world: World, kind: RevocationKind) -> None:
    _, token = await a_token(world)
    before = (await inspected(world, world.guard, token)).json()
    named = {RevocationKind.CLIENT: before["sub"]}.get(kind, before["sid"])
    entry = FeedEntry(8, kind, named, None)
    world.store.pages = [FeedPage(Mark(1, 8), (entry,), snapshot=False)]

    after = await inspected(world, world.guard, token)

    assert before["active"] and after.content == INACTIVE


async def test_nobody_asks_without_saying_who_it_is(world: World) -> None:
    _, token = await a_token(world)

    for path in ("/oauth2/introspect", "/oauth2/revoke"):
        answer = await post(world, path, {"token": token})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"]
        used = asserting(world.workload, token="unknown")
        assert (await post(world, path, used)).status_code == 200
        assert (await post(world, path, used)).status_code == 401, "an assertion serves once"


async def test_revoking_ends_the_session_for_those_whose_it_is(world: World) -> None:
    holder, token = await a_token(world)
    session = (await inspected(world, world.guard, token)).json()["sid"]

    foreign = await post(world, "/oauth2/revoke", asserting(world.guard, token=token))
    thief = await post(world, "/oauth2/revoke", {"token": token}, proof(world.stranger(), "/oauth2/revoke"))
    assert world.store.rows[session].state is State.ACTIVE
    own = await post(world, "/oauth2/revoke", {"token": token}, proof(holder, "/oauth2/revoke"))

    assert [a.json()["error"] for a in (foreign, thief)] == ["unauthorized_client"] * 2
    assert (own.status_code, own.content) == (200, b"")
    assert world.store.rows[SessionId(session)].state is not State.ACTIVE


async def test_an_unknown_token_is_as_good_as_revoked_and_a_clients_own_is_not_revoked(world: World) -> None:
    unknown = await post(world, "/oauth2/revoke", asserting(world.workload, token="x"))
    own = await post(
        world,
        "/oauth2/revoke",
        asserting(world.workload, token=str(world.workload.token), token_type_hint="x"),
    )

    assert unknown.status_code == 200
    assert (own.status_code, own.json()["error"]) == (400, "unsupported_token_type")


# -- metadata -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["oauth-authorization-server", "openid-configuration"])
async def test_metadata_is_found_in_each_form_and_has_no_empty_member(world: World, form: str) -> None:
    answer = await world.http.get(f"/.well-known/{form}")
    elsewhere = await world.http.get(f"/.well-known/{form}/another/path")

    told = answer.json()
    oauth_answers.MetadataView.model_validate(told)
    assert told["issuer"] == ISSUER and all(told.values())
    assert elsewhere.status_code == 404


async def test_our_own_api_says_whose_tokens_it_takes(world: World) -> None:
    told = (await world.http.get("/.well-known/oauth-protected-resource")).json()

    view = oauth_answers.ResourceView.model_validate(told)
    assert view.resource == ISSUER and view.authorization_servers == [ISSUER]


async def test_a_list_of_another_time_is_not_offered(world: World) -> None:
    answer = await world.http.get("/oauth2/status/1-20260101-1?time=1700000000")

    assert (answer.status_code, answer.json()["code"]) == (501, "no_history")
