"""A guarded API on a real server, against a control plane on a real server."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from sojourn.guard.asgi import Guard
from sojourn.guard.streams import CLOSE_CODE
from sojourn.guard.wsgi import WsgiGuard
from sojourn.jose import Es256Key
from tests.guard.world import (
    AUDIENCE,
    BASE,
    Plane,
    Workload,
    claims_for,
    free_port,
    running_plane,
    served,
    sign_token,
    until,
)
from tests.rig.poll import pace

pytestmark = pytest.mark.paced

L = 5.0
BACK_WITHIN = 2.0


async def stock(request: Request) -> JSONResponse:
    return JSONResponse({"session": request.scope["sojourn"].session})


async def ticks() -> AsyncIterator[str]:
    while True:
        yield "data: tick\n\n"
        await pace(0.02)


async def one_then_nothing() -> AsyncIterator[str]:
    yield "data: only\n\n"
    await asyncio.Event().wait()


def one_then_a_stuck_thread() -> Iterator[str]:
    yield "data: only\n\n"
    threading.Event().wait(8)


async def events(request: Request) -> StreamingResponse:
    sources: dict[str, Callable[[], Any]] = {
        "ticks": ticks,
        "quiet": one_then_nothing,
        "stuck": one_then_a_stuck_thread,
    }
    return StreamingResponse(sources[request.path_params["kind"]](), media_type="text/event-stream")


async def slow(request: Request) -> JSONResponse:
    await asyncio.Event().wait()
    return JSONResponse({})


@dataclass
class Site:
    """A guarded API, its control plane, and a client."""

    plane: Plane
    guard: Guard
    base: str
    work: Workload

    def get(self, token: str, path: str = "/stock") -> httpx2.Response:
        url = self.base + path
        return httpx2.get(url, headers=self.work.headers(token, "GET", url), timeout=5, trust_env=False)

    def code(self, token: str, path: str = "/stock") -> str:
        answer = self.get(token, path)
        return "ok" if answer.status_code == 200 else str(answer.json()["code"])


@pytest.fixture
def site() -> Iterator[Site]:
    with running_plane() as plane:
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        app = Starlette(
            routes=[Route("/stock", stock), Route("/slow", slow), Route("/events/{kind}", events)]
        )
        guard = Guard(
            app, plane.profile, base=base, require={"/": ["stock.read"], "/stock/write": ["stock.write"]}
        )
        with served(guard, port):
            yield Site(plane, guard, base, Workload())


def test_a_call_is_accepted_until_its_session_ends(site: Site) -> None:
    token = site.plane.token(site.work)
    assert site.get(token).json() == {"session": "ses_1"}
    took = []

    for number in range(10):
        token = site.plane.token(site.work, sid=f"ses_k{number}")
        assert site.code(token) == "ok"
        site.plane.end(f"ses_k{number}")
        took.append(until(lambda kept=token: site.code(kept) == "session_over", 1.0))  # type: ignore[misc]

    print(f"refused after {sorted(round(each * 1000) for each in took)} ms")


def test_refusals_carry_what_clients_need(site: Site) -> None:
    token = site.plane.token(site.work)

    bare = httpx2.get(site.base + "/stock", trust_env=False)
    forbidden = site.get(token, "/stock/write/1")

    where = f"{site.base}/.well-known/oauth-protected-resource"
    challenge = f'DPoP algs="ES256", resource_metadata="{where}"'
    assert (bare.status_code, bare.headers["www-authenticate"]) == (401, challenge)
    told = httpx2.get(where, trust_env=False).json()
    assert told["resource"] == AUDIENCE and told["authorization_servers"] == [site.plane.issuer]
    assert told["scopes_supported"] == ["stock.read", "stock.write"] and all(told.values())
    assert httpx2.post(where, trust_env=False).status_code == 401
    assert bare.headers["content-type"] == "application/problem+json"
    assert forbidden.status_code == 403
    assert 'error="insufficient_scope"' in forbidden.headers["www-authenticate"]


def test_the_query_of_a_request_is_no_part_of_its_proof(site: Site) -> None:
    token = site.plane.token(site.work)
    headers = site.work.headers(token, "GET", site.base + "/stock")

    assert httpx2.get(site.base + "/stock?a=1", headers=headers, trust_env=False).status_code == 200


def test_a_new_token_key_is_learned_when_it_is_first_seen(site: Site) -> None:
    assert site.code(site.plane.token(site.work)) == "ok"

    site.plane.key = Es256Key.generate()

    assert site.code(site.plane.token(site.work)) == "ok"
    site.plane.key = Es256Key.generate()
    assert site.code(site.plane.token(site.work)) == "bad_token"  # keys are fetched once in 10 s


def test_a_stolen_token_key_is_worth_nothing_within_d_of_its_revocation(site: Site) -> None:
    stolen, token = site.plane.key, site.plane.token(site.work)
    assert site.code(token) == "ok"
    site.plane.key = Es256Key.generate()

    site.plane.end(stolen.thumbprint, kind="signer")
    refused = {"key_revoked", "bad_token"}  # the latter once the new keys are known
    took = until(lambda: site.code(token) in refused, 1.0)

    forged = sign_token(stolen, claims_for(site.work, site.plane.issuer, sid="ses_9", mark=2**40))
    assert site.code(forged) in refused
    until(lambda: site.code(site.plane.token(site.work)) == "ok", 1.0)  # the new key was learned at once
    print(f"refused after {took * 1000:.0f} ms")


@pytest.mark.parametrize("fault", ["silent", "garbage"])
def test_a_guard_cut_off_goes_deaf_and_is_back_soon_after_healing(site: Site, fault: str) -> None:
    token = site.plane.token(site.work)
    assert site.code(token) == "ok"

    setattr(site.plane, fault, True)
    site.plane.end("ses_1")  # what it cannot hear it must not let pass for long
    ended = time.monotonic()
    until(lambda: site.code(token) in {"deaf", "session_over"}, L + 0.05)
    deaf_after = time.monotonic() - ended
    refused = site.get(token)
    setattr(site.plane, fault, False)
    back = until(lambda: site.code(site.plane.token(site.work, sid="ses_2")) == "ok", BACK_WITHIN)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert site.code(token) == "session_over"
    print(f"{fault}: refused after {deaf_after:.2f} s, back after {back:.2f} s")


def test_service_is_back_in_time_whenever_the_network_heals(site: Site) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    token = site.plane.token(site.work)

    site.plane.silent = True
    until(lambda: site.code(token) == "deaf", L + 0.2)
    asked = site.plane.feed_questions
    until(lambda: site.plane.feed_questions > asked, 3)
    wait_until = time.monotonic() + dice.random()
    until(lambda: time.monotonic() > wait_until, 2)
    site.plane.silent = False
    print(f"back after {until(lambda: site.code(token) == 'ok', BACK_WITHIN):.2f} s")


def test_a_control_plane_that_forgot_is_not_believed(site: Site) -> None:
    token = site.plane.token(site.work)
    site.plane.end("ses_other")
    until(lambda: (mark := site.guard.verifier.view.mark) is not None and mark.n == 1, 2)

    site.plane.n = 0

    until(lambda: site.code(token) == "deaf", 3)
    assert site.guard.verifier.view.rolled_back
    site.plane.n = 1
    until(lambda: site.code(token) == "ok", BACK_WITHIN)


def read_until_closed(site: Site, token: str, path: str, began: threading.Event) -> str:
    url = site.base + path
    headers = site.work.headers(token, "GET", url)
    try:
        with httpx2.stream("GET", url, headers=headers, timeout=30, trust_env=False) as answer:
            for _ in answer.iter_bytes():
                began.set()
            return f"complete {answer.status_code}"
    except httpx2.RemoteProtocolError:
        return "cut"


@pytest.mark.parametrize("kind", ["ticks", "quiet", "stuck"])
def test_a_stream_is_cut_when_its_session_ends(site: Site, kind: str) -> None:
    token, began, outcome = site.plane.token(site.work), threading.Event(), list[str]()
    path = f"/events/{kind}"
    reader = threading.Thread(target=lambda: outcome.append(read_until_closed(site, token, path, began)))
    reader.start()
    assert began.wait(5)

    site.plane.end("ses_1")
    took = until(lambda: bool(outcome), 2.0)

    reader.join(1)
    assert outcome == ["cut"]
    print(f"{kind}: cut after {took * 1000:.0f} ms")


def test_a_stream_is_cut_when_the_guard_goes_deaf(site: Site) -> None:
    token, began, outcome = site.plane.token(site.work), threading.Event(), list[str]()
    reader = threading.Thread(
        target=lambda: outcome.append(read_until_closed(site, token, "/events/quiet", began))
    )
    reader.start()
    assert began.wait(5)

    site.plane.silent = True
    took = until(lambda: bool(outcome), L + 0.1)

    assert outcome == ["cut"]
    print(f"deaf: cut after {took:.2f} s")


def test_a_call_that_waits_for_its_answer_is_refused_when_its_session_ends(site: Site) -> None:
    token, answers = site.plane.token(site.work), list[httpx2.Response]()
    caller = threading.Thread(target=lambda: answers.append(site.get(token, "/slow")))
    caller.start()
    until(lambda: bool(site.guard.feed._listeners), 5)

    site.plane.end("ses_1")
    until(lambda: bool(answers), 2.0)

    assert (answers[0].status_code, answers[0].json()["code"]) == (401, "session_over")


def test_narrowing_cuts_streams_of_the_earlier_generation_only(site: Site) -> None:
    outcome, ready = list[str](), [threading.Event(), threading.Event()]
    for generation, event in zip((1, 2), ready, strict=True):
        token = site.plane.token(site.work, generation=generation)
        threading.Thread(
            target=lambda kept=token, e=event, g=generation: outcome.append(
                f"{g} {read_until_closed(site, kept, '/events/ticks', e)}"
            ),
            daemon=True,
        ).start()
    assert all(event.wait(5) for event in ready)

    site.plane.end("ses_1", min_gen=2)
    until(lambda: bool(outcome), 2.0)

    assert outcome == ["1 cut"]


@pytest.mark.anyio
async def test_a_websocket_is_closed_with_our_code_when_its_session_ends() -> None:
    with running_plane() as plane:
        work, sent = Workload(), list[dict[str, Any]]()
        opened = asyncio.Event()

        async def echo(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            opened.set()
            await asyncio.Event().wait()

        guard = Guard(echo, plane.profile, base=BASE, require={})
        token = plane.token(work)
        headers = [
            (k.lower().encode(), v.encode()) for k, v in work.headers(token, "GET", BASE + "/echo").items()
        ]
        scope = {"type": "websocket", "path": "/echo", "headers": headers}
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue(4)
        incoming.put_nowait({"type": "websocket.connect"})

        async def send(message: Any) -> None:
            sent.append(dict(message))

        call = asyncio.create_task(guard(scope, incoming.get, send))
        await asyncio.wait_for(opened.wait(), 5)
        plane.end("ses_1")
        await asyncio.wait_for(call, 2)
        await guard.stop()

    assert sent[-1] == {"type": "websocket.close", "code": CLOSE_CODE, "reason": "session_over"}


@pytest.mark.anyio
async def test_a_websocket_without_a_token_is_never_opened() -> None:
    with running_plane() as plane:
        sent = list[dict[str, Any]]()

        async def never(scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError("the application was reached")

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        guard = Guard(never, plane.profile, base=BASE, require={})
        await guard({"type": "websocket", "path": "/echo", "headers": []}, receive, send)
        extensions: dict[str, Any] = {"websocket.http.response": {}}
        await guard(
            {"type": "websocket", "path": "/", "headers": [], "extensions": extensions}, receive, send
        )
        await guard.stop()

    assert sent[0]["type"] == "websocket.close"
    assert (sent[1]["type"], sent[1]["status"]) == ("websocket.http.response.start", 401)


def test_a_wsgi_application_is_guarded_by_the_same_rules() -> None:
    with running_plane() as plane:
        work, answers = Workload(), list[str]()

        def app(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
            start("200 OK", [])
            while True:
                yield environ["sojourn"].session.encode()

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            answers.append(status)

        guard = WsgiGuard(app, plane.profile, base=BASE, require={"/": ["stock.read"]})
        guard.thread.start()
        token = plane.token(work)

        def environ() -> dict[str, Any]:
            shown = work.headers(token, "GET", BASE + "/stock")
            named = {"HTTP_AUTHORIZATION": shown["Authorization"], "HTTP_DPOP": shown["DPoP"]}
            return {"REQUEST_METHOD": "GET", "PATH_INFO": "/stock", **named}

        stream = iter(guard(environ(), start))
        assert next(stream) == b"ses_1"
        plane.end("ses_1")
        until(lambda: not guard.verifier.view.mark or guard.verifier.view.mark.n == 1, 2)

        with pytest.raises(Exception, match="session_over"):
            next(stream)
        list(guard(environ(), start))
        guard.thread.stop()

    assert answers == ["200 OK", "401 Unauthorized"]
