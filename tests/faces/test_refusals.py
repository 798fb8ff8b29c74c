"""What a refused caller has shown is written down by fingerprint, wherever in the request it stood."""

from __future__ import annotations

import json
import logging
from urllib.parse import urlencode

import pytest

from sojourn.core.fingerprint import fingerprint
from tests.faces.world import World

pytestmark = pytest.mark.anyio
SECRET = "a-copied-assertion"


async def _written(world: World, caplog: pytest.LogCaptureFixture, path: str, **sent: object) -> list[str]:
    caplog.set_level(logging.INFO, "sojourn.refused")
    caplog.clear()
    kind = sent.pop("kind", "application/json")
    headers = {"Content-Type": str(kind), **({"Cookie": str(sent["cookie"])} if "cookie" in sent else {})}
    answer = await world.http.post(path, content=str(sent.get("body", "")), headers=headers)
    assert 400 <= answer.status_code < 500
    assert SECRET not in caplog.text
    return [one.getMessage() for one in caplog.records if one.name == "sojourn.refused"]


@pytest.mark.parametrize("name", ["client_assertion", "assertion", "subject_token", "actor_token", "token"])
async def test_a_secret_in_a_form_is_noted(world: World, caplog: pytest.LogCaptureFixture, name: str) -> None:
    body = urlencode({"grant_type": "client_credentials", name: SECRET})

    (line,) = await _written(
        world, caplog, "/oauth2/token", body=body, kind="application/x-www-form-urlencoded"
    )

    assert f"{name} {fingerprint(SECRET)}" in line


async def test_a_secret_deep_in_json_is_noted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"evidence": {"type": "oidc", "assertion": SECRET}, "more": [1]})

    (line,) = await _written(world, caplog, "/v1/sessions", body=body)

    assert f"assertion {fingerprint(SECRET)}" in line


async def test_a_cookie_is_noted_and_is_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    cookie = f"session={SECRET}"

    (line,) = await _written(world, caplog, "/v1/sessions", body="{}", cookie=cookie)

    assert f"cookie {fingerprint(cookie)}" in line


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, '{"evidence": 7}', "a&&b=%ff", "\x00"])
async def test_where_nothing_was_shown_nothing_is_noted(
    world: World, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    assert await _written(world, caplog, "/v1/sessions", body=body) == []
