"""Clients, charters, targets, the token endpoint, the feed, the journal, and operations."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx2
import pytest

from sojourn.core.change import RevocationKind
from sojourn.core.errors import Unavailable
from sojourn.core.ids import SESSION, SessionId
from sojourn.faces.http import answers, oauth_answers
from sojourn.jose import Es256Key
from sojourn.ports.store import FeedEntry, FeedPage, Mark
from tests.faces.samples import new_id
from tests.faces.world import Caller, World

pytestmark = pytest.mark.anyio
CHARTER = {
    "name": "demo",
    "owner": "ops",
    "clients": ["ci"],
    "grants": {"shop": {"target": "shop", "template": "readonly"}},
    "duration": {"default": "2m", "longest": "30m"},
    "beat": {"every": "10s", "missed_after": "30s"},
}
TARGET = {
    "name": "shop",
    "provider": "postgresql",
    "settings": {},
    "templates": {},
    "secret": "postgresql://x",
}


async def _token(caller: Caller, **change: str) -> httpx2.Response:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": caller.assertion(),
        **change,
    }
    headers = {
        "DPoP": caller.proof("POST", "/oauth2/token"),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return await caller.world.http.post("/oauth2/token", content=urlencode(form).encode(), headers=headers)


async def test_a_client_gets_a_bound_token_and_uses_it(world: World) -> None:
    answer = await _token(world.operator)

    given = oauth_answers.TokenResponseView.model_validate(answer.json())
    used = Caller(world, world.operator.key, world.operator.client, given.access_token)
    assert (given.expires_in, given.scope) == (300, "operate")
    assert (await used.send("GET", "/v1/clients")).status_code == 200


async def test_token_errors_are_in_oauths_form(world: World) -> None:
    stranger = Caller(world, Es256Key.generate(), world.operator.client)

    wrong_key = await _token(stranger)
    wrong_grant = await _token(world.operator, grant_type="password")
    unknown = await _token(world.operator, colour="red")  # ignored: RFC 6749, section 3.2
    wrong_scope = await _token(world.operator, scope="everything")
    no_proof = await world.http.post("/oauth2/token", content=b"grant_type=client_credentials")

    refused = (wrong_key, wrong_grant, wrong_scope, no_proof)
    assert unknown.status_code == 200
    assert [a.json()["error"] for a in refused] == [
        "invalid_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_request",
    ]
    assert [a.status_code for a in refused] == [401, 400, 400, 415]


async def test_an_assertion_is_good_for_one_token(world: World) -> None:
    assertion = world.operator.assertion()

    first = await _token(world.operator, client_assertion=assertion)
    second = await _token(world.operator, client_assertion=assertion)

    assert (first.status_code, second.status_code, second.json()["error"]) == (200, 401, "invalid_client")


async def test_metadata_and_keys_are_public(world: World) -> None:
    metadata = await world.http.get("/.well-known/oauth-authorization-server")
    keys = await world.http.get("/oauth2/jwks")
    ours = await world.http.get("/.well-known/sojourn")

    oauth_answers.MetadataView.model_validate(metadata.json())
    assert "d" not in answers.KeysView.model_validate(keys.json()).keys[0]
    assert answers.DeploymentView.model_validate(ours.json()).feed.deaf_after_s == 5


async def test_a_link_makes_an_operator(world: World) -> None:
    newcomer = world.stranger()
    body = {"link": "sojourn-invitation", "name": "ada", "jwk": dict(newcomer.key.jwk)}

    answer = await newcomer.send("POST", "/v1/login", body)

    assert answer.status_code == 201
    assert answers.LoginView.model_validate(answer.json()).role == "operator"


async def test_a_login_with_another_key_than_the_proofs_is_refused(world: World) -> None:
    newcomer = world.stranger()
    body = {"link": "sojourn-invitation", "jwk": dict(Es256Key.generate().jwk)}

    answer = await newcomer.send("POST", "/v1/login", body)

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_proof")


async def test_clients_are_registered_and_removed(world: World) -> None:
    body = {"name": "orders", "role": "guard", "owner": "ops", "jwk": dict(Es256Key.generate().jwk)}

    without = await world.operator.send("POST", "/v1/clients", body)
    made = await world.operator.send("POST", "/v1/clients", {**body, "audience": "https://api.example"})
    gone = await world.operator.send("DELETE", f"/v1/clients/{made.json()['id']}")

    assert without.status_code == 422
    assert made.status_code == 201
    assert answers.ClientView.model_validate(gone.json()).removed_at is not None


async def test_a_private_key_is_not_taken(world: World) -> None:
    body = {
        "name": "x",
        "role": "workload",
        "owner": "ops",
        "jwk": {**Es256Key.generate().jwk, "d": "A" * 43},
    }

    answer = await world.operator.send("POST", "/v1/clients", body)

    assert answer.status_code == 422
    assert "AAAA" not in answer.text


async def test_charters_are_applied_listed_and_shown(world: World) -> None:
    first = await world.operator.send("PUT", "/v1/charters", CHARTER)
    again = await world.operator.send("PUT", "/v1/charters", CHARTER)
    listed = await world.operator.send("GET", "/v1/charters")
    shown = await world.operator.send("GET", "/v1/charters/demo")
    missing = await world.operator.send("GET", "/v1/charters/none")

    assert [answers.AppliedView.model_validate(a.json()).changed for a in (first, again)] == [True, False]
    assert len(answers.ChartersView.model_validate(listed.json()).charters) == 1
    assert answers.CharterView.model_validate(shown.json()).duration.longest == "30m"
    assert missing.status_code == 404


async def test_targets_are_added_tried_drained_and_compared(world: World) -> None:
    added = await world.operator.send("POST", "/v1/targets", TARGET)
    tried = await world.operator.send("POST", "/v1/targets/shop/preflight")
    drained = await world.operator.send("POST", "/v1/targets/shop/drain")
    compared = await world.operator.send("GET", "/v1/targets/shop/reconcile")
    wanted = {"apply": True, "destroy_unknown": True}
    applied = await world.operator.send("POST", "/v1/targets/shop/reconcile", wanted)
    halfway = await world.operator.send("POST", "/v1/targets/shop/reconcile", {"destroy_unknown": True})
    shown = await world.operator.send("GET", "/v1/targets/shop")
    listed = await world.operator.send("GET", "/v1/targets")
    removed = await world.operator.send("DELETE", "/v1/targets/shop")

    assert added.status_code == 201 and "postgresql://" not in added.text
    assert answers.PreflightView.model_validate(tried.json()).checks[0].ok
    assert answers.ReconciliationView.model_validate(compared.json()).missing == ["sj_dev0_y"]
    assert answers.ReconciliationView.model_validate(applied.json()).destroyed[0].presence == "absent"
    assert halfway.status_code == 422
    for one in (added, drained, shown, removed):
        answers.TargetView.model_validate(one.json())
    assert len(answers.TargetsView.model_validate(listed.json()).targets) == 1


async def test_sessions_that_wait_since_a_restore_are_listed_and_let_go_by_an_operator(world: World) -> None:
    world.waiting.sessions = [SessionId(new_id(SESSION)) for _ in range(201)]

    listed = await world.operator.send("GET", "/v1/reconcile")
    refused = [await caller.send("POST", "/v1/reconcile") for caller in (world.workload, world.guard)]
    still = len(world.waiting.sessions)
    let_go = await world.operator.send("POST", "/v1/reconcile")

    shown = answers.WaitingSessionsView.model_validate(listed.json())
    assert (len(shown.sessions), shown.more) == (200, True)
    assert [answer.status_code for answer in refused] == [403, 403] and still == 201
    assert let_go.json() == {"sessions": [], "more": False}


async def test_the_feed_answers_news_at_once_and_silence_after_its_period(world: World) -> None:
    entry = FeedEntry(8, RevocationKind.SESSION, "ses_x", None)
    world.store.pages.append(FeedPage(Mark(1, 8), (entry,), False))

    news = await world.guard.send("POST", "/v1/feed", {"mark": {"epoch": 1, "n": 7}})
    waited_for_news = list(world.bell.waited)
    silence = await world.guard.send("POST", "/v1/feed", {"mark": {"epoch": 1, "n": 8}})
    snapshot = await world.guard.send("POST", "/v1/feed", {"mark": None})

    assert answers.FeedView.model_validate(news.json()).entries[0].id == "ses_x"
    assert waited_for_news == []
    assert answers.FeedView.model_validate(silence.json()).entries == []
    assert world.bell.waited == [(8, 1.0)]
    assert answers.FeedView.model_validate(snapshot.json()).snapshot


async def test_more_guards_than_places_are_told_to_come_back(world: World) -> None:
    with world.feed_places.take(), world.feed_places.take():
        answer = await world.guard.send("POST", "/v1/feed", {"mark": {"epoch": 1, "n": 8}})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_checkpoint_and_tiles_are_public(world: World) -> None:
    nothing = await world.http.get("/log/checkpoint")
    world.store.sealed_at = (256, "sojourn.example/log\n256\n")
    world.store.hashes[(0, 1234)] = b"h" * 32 * 256
    world.store.hashes[(1, 0)] = b"h" * 32 * 3

    checkpoint = await world.http.get("/log/checkpoint")
    whole = await world.http.get("/log/tile/0/x001/234")
    part = await world.http.get("/log/tile/1/000.p/2")
    beyond = await world.http.get("/log/tile/1/000.p/4")

    assert nothing.status_code == 404 and checkpoint.text.startswith("sojourn.example")
    assert (len(whole.content), len(part.content), beyond.status_code) == (8192, 64, 404)
    for wrong in (
        "0/1",
        "0/x000/001",
        "64/000",
        "0/000.p/0",
        "0/000.p/256",
        "entries/000",
        "00/000",
        "0/../000",
    ):
        assert (await world.http.get(f"/log/tile/{wrong}")).status_code == 404


async def test_health_is_public_and_metrics_are_local(world: World) -> None:
    healthy, ready = await world.http.get("/healthz"), await world.http.get("/readyz")
    local = await world.http.get("/metrics")
    passed_on = await world.http.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    operator = await world.operator.send("GET", "/metrics", extra=[("X-Forwarded-For", "192.0.2.1")])

    assert (healthy.json(), ready.json()) == ({"status": "ok"}, {"status": "ok", "mode": "normal"})
    assert "sojourn_feed_waiters" in local.text
    assert (passed_on.status_code, operator.status_code) == (401, 200)


@pytest.mark.parametrize(("asked", "code"), [("head", "fenced"), ("checkpoint", "store_unavailable")])
async def test_a_node_that_is_fenced_or_has_no_database_is_not_ready(
    world: World, monkeypatch: pytest.MonkeyPatch, asked: str, code: str
) -> None:
    async def refused() -> None:
        raise Unavailable(code, "not now")

    monkeypatch.setattr(world.store, asked, refused)

    healthy, ready = await world.http.get("/healthz"), await world.http.get("/readyz")

    assert (healthy.status_code, ready.status_code, ready.json()["code"]) == (200, 503, code)
