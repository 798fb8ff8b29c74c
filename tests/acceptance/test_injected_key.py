"""A key that a session uses and never sees: through the socket of its child, until the session ends."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.client.jsonfacts import members
from sojourn.client.proxy import Proxy
from sojourn.client.session import LiveSession, Wish, open_session
from tests.acceptance.canaries import every_process
from tests.rig.keyed_api import KEY, KeyedApi
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import OWNER, System, running

GRANT = "orders"
TEMPLATE = {"methods": ["GET", "POST"], "paths": ["/read", "/echo", "/ticks"]}


class Line(http.client.HTTPConnection):
    """One request over the child's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    with running(postgres) as system:
        yield system


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[KeyedApi]:
    """An API that is a target, and a charter that grants its use."""
    with KeyedApi() as api:
        body = {"name": "api", "provider": "http_key", "templates": {"orders": TEMPLATE}, "secret": KEY}
        body["settings"] = {"base_url": api.base, "probe_path": "/read"}
        system.operator.ask("POST", "/v1/targets", body)
        checks = members(
            system.operator.ask("POST", "/v1/targets/api/preflight", {}, wait_s=45).json(), "checks"
        )
        assert checks and all(check.get("ok") for check in checks), checks
        grants = {GRANT: {"target": "api", "template": "orders"}}
        system.apply_charter(owner=OWNER, grants=grants)
        yield api


@pytest.fixture
def live(system: System, api: KeyedApi) -> LiveSession:
    return system.open("keyed", grants=[GRANT])


@pytest.fixture
def child(live: LiveSession, tmp_path: Path) -> Iterator[Path]:
    """The socket of a command inside the session."""
    proxy = Proxy(tmp_path / "api.sock", live, {})
    proxy.start()
    yield tmp_path / "api.sock"
    proxy.stop()


def ask(
    child: Path, path: str, *, host: str = GRANT, method: str = "GET", body: str = ""
) -> tuple[int, bytes]:
    line = Line(child)
    try:
        line.request(method, path, body=body or None, headers={"Host": host})
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def test_the_child_uses_the_key_and_nobody_shows_it(
    system: System, api: KeyedApi, live: LiveSession, child: Path
) -> None:
    by_name = ask(child, "/read?page=2")
    by_host = ask(child, "/read", host=api.base.removeprefix("http://"), method="POST", body="{}")

    assert (by_name, by_host) == ((200, b"ok"), (200, b"{}"))
    assert api.seen[-2]["path"] == "/read?page=2" and api.seen[-1]["authorization"] == f"Bearer {KEY}"
    told = json.dumps(live.view.raw) + repr(live.credentials)
    assert KEY not in told and not live.credentials[0].secret.reveal()
    assert not [name for name, content in every_process().items() if KEY.encode() in content]


def test_what_the_grant_does_not_cover_is_refused_before_it_leaves(api: KeyedApi, child: Path) -> None:
    before = len(api.seen)

    answers = [ask(child, path) for path in ("/admin", "/read/../admin", "/read%2f..%2fadmin")]

    assert [status for status, _ in answers] == [403, 403, 403] and len(api.seen) == before


def test_an_answer_that_holds_the_key_breaks_off(child: Path) -> None:
    with pytest.raises(http.client.HTTPException):
        status, body = ask(child, "/echo")
        assert KEY.encode() not in body and status != 200
        raise http.client.HTTPException


def test_a_session_that_ended_is_refused_and_its_stream_cut(
    system: System, api: KeyedApi, live: LiveSession, child: Path
) -> None:
    line = Line(child)
    line.request("GET", "/ticks", headers={"Host": GRANT})
    stream = line.getresponse()
    assert stream.read(11) == b"data: tick\n"

    system.end(live.id)
    began = time.monotonic()
    with pytest.raises((http.client.HTTPException, OSError)):
        while stream.read1(4096):
            assert time.monotonic() - began < 3, "the stream went on"
        raise http.client.IncompleteRead(b"")

    assert ask(child, "/read")[0] in (403, 404)
    assert system.look(live.id, until_ended_s=20).state == "ended"
    until(lambda: not any(api.streaming.values()))


def test_forwarded_requests_draw_on_the_budget_and_are_named_as_used(
    system: System, api: KeyedApi, tmp_path: Path
) -> None:
    grants = {GRANT: {"target": "api", "template": "orders"}}
    system.apply_charter(name="counted", owner=OWNER, grants=grants, budget={"calls": 3})
    live = open_session(system.workload, Wish("counted", "1", [GRANT]), transport=system.transport)
    proxy = Proxy(tmp_path / "counted.sock", live, {})
    proxy.start()
    try:
        child = tmp_path / "counted.sock"
        answers = [ask(child, path)[0] for path in ("/read", "/admin", "/read", "/read")]
        place = f"/v1/sessions/{live.id}/usage"
        until(lambda: system.operator.ask("GET", place).json()["used"] == {f"{GRANT} GET": 3})
        until(lambda: system.look(live.id).state == "ended", within_s=20)
        after = ask(child, "/read")[0]
    finally:
        proxy.stop()

    assert answers == [200, 403, 200, 200], answers
    assert after in (403, 404)


def test_another_key_reaches_nothing(
    system: System, live: LiveSession, api: KeyedApi, tmp_path: Path
) -> None:
    """A proof by another session's key opens no way through this one."""
    other = system.open("other", grants=[GRANT])
    stranger = Proxy(tmp_path / "stranger.sock", other, {})
    stranger.live._view = live.view  # it claims to be the first session
    stranger.start()
    before = len(api.seen)

    status, _ = ask(tmp_path / "stranger.sock", "/read")
    stranger.stop()

    assert status == 404 and len(api.seen) == before


def test_the_key_in_our_keeping_is_called_standing(system: System, api: KeyedApi) -> None:
    (found,) = members(system.operator.ask("GET", "/v1/targets/api/standing").json(), "standing")

    assert found["kind"] == "http_api_key" and KEY not in json.dumps(found)
