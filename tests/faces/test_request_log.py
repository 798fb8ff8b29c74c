"""What the log says of a request: enough to find it again, nothing that was sent, one line each."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from sojourn.faces.http.request_log import LINES_PER_SECOND, JsonLines, Sampler
from tests.faces.world import World

pytestmark = pytest.mark.anyio
CANARY = "canary-0b5e"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, at the loudest."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    handler.setFormatter(JsonLines())
    mine, before = logging.getLogger("sojourn"), logging.getLogger("sojourn").level
    root.addHandler(handler)
    mine.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    mine.setLevel(before)


def answers(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines about requests, read back."""
    read = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in read if line["logger"] == "sojourn.requests"]


async def test_each_request_has_a_number_that_its_answer_carries(world: World, lines: io.StringIO) -> None:
    mine = [("X-Request-Id", "chosen-by-me")]

    first = await world.operator.send("GET", "/v1/targets", extra=mine)
    second = await world.operator.send("GET", "/v1/targets/nope")

    ids = [answer.headers["x-request-id"] for answer in (first, second)]
    assert [line["request"] for line in answers(lines)] == ids and len(set(ids)) == 2
    assert "chosen-by-me" not in lines.getvalue()
    assert answers(lines)[0]["level"] == "debug" and answers(lines)[1]["level"] == "info"


async def test_a_refusal_is_told_by_its_route_status_and_code(world: World, lines: io.StringIO) -> None:
    await world.operator.send("GET", "/v1/sessions/ses_nope/leases")
    await world.http.request("POST", "/oauth2/token", content=b"x=1", headers={"content-type": "text/plain"})
    await world.http.request("GET", "/no/such/path")

    told = [(one["method"], one.get("route"), one["status"], one["code"]) for one in answers(lines)]
    assert told == [
        ("GET", "/v1/sessions/{session_id}/leases", 404, "not_found"),
        ("POST", None, 415, "unsupported_media_type"),
        ("GET", None, 404, "not_found"),
    ]
    assert all(one["ms"] >= 0 for one in answers(lines))


async def test_nothing_that_was_sent_is_in_the_log(world: World, lines: io.StringIO) -> None:
    hostile = [("X-Note", CANARY), ("User-Agent", CANARY), ("Idempotency-Key", CANARY)]
    body = {"name": CANARY, "provider": CANARY, "settings": {}, "templates": {}, "secret": CANARY}
    for path in (f"/v1/targets/{CANARY}", f"/v1/sessions?owner={CANARY}", f"/{CANARY}"):
        await world.operator.send("GET", path, extra=hostile)
    await world.operator.send("POST", "/v1/targets", body, extra=hostile)
    await world.operator.send("POST", "/v1/targets", {"secret": CANARY})
    await world.http.request("POST", "/v1/login", content=CANARY.encode())

    assert len(answers(lines)) == 6
    assert CANARY not in lines.getvalue()
    assert world.operator.token is None or world.operator.token not in lines.getvalue()


async def test_a_defect_is_an_error_with_its_traceback_and_number(
    world: World, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("a defect\nof\x1b[31m ours")

    monkeypatch.setattr(world.store, "targets", broken)

    answer = await world.operator.send("GET", "/v1/targets")

    (line,) = answers(lines)
    assert answer.status_code == 500
    assert (line["level"], line["status"], line["route"]) == ("error", 500, "/v1/targets")


def test_a_record_is_one_line_of_ascii_whatever_it_holds() -> None:
    text = "a\nb\r\x1b[31m\x00\u2028é\U0001f600"
    record = logging.LogRecord("x", logging.INFO, "f", 1, "said %s", (text,), None)

    line = JsonLines().format(record)

    assert line.isascii() and line.isprintable()
    assert json.loads(line)["message"] == f"said {text}"


def test_of_a_flood_the_count_is_kept() -> None:
    now = 100.0
    sampler = Sampler(clock=lambda: now)

    said = [sampler.take() for _ in range(LINES_PER_SECOND + 5)]
    now = 101.0
    after = sampler.take()

    assert said == [0] * LINES_PER_SECOND + [None] * 5
    assert after == 5 and sampler.take() == 0
