"""What is not yours reads like what is not there: every route that names a thing, every caller.

The matrix is made from the route table: a route that names something new fails here until it says what.
"""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Mapping

import httpx2
import pytest

from sojourn.core.client import Role
from sojourn.core.ids import APPROVAL, CHARTER, CLIENT, KILL, SESSION, TARGET
from sojourn.faces.http.app import ROUTES, Row, Who
from tests.faces.samples import a_charter, a_target, new_id
from tests.faces.world import Caller, World

pytestmark = pytest.mark.anyio

# For each name in a path: one that is there and is somebody else's, and some that are not.
ABSENT: Mapping[str, tuple[str, ...]] = {
    "session_id": (new_id(SESSION), "ses_x", new_id(CLIENT), "ses_" + "0" * 26, "%27%20OR%201=1", "x" * 300),
    "client_id": (new_id(CLIENT), "cli_x", new_id(SESSION)),
    "name": ("nowhere", new_id(TARGET), new_id(CHARTER)),
    "kid": ("a" * 43, "x"),
    "purpose": ("nothing", "x"),
    "person": ("nobody", "x"),
    "approval_id": (new_id(APPROVAL), "apr_x", new_id(SESSION)),
    "kill_id": (new_id(KILL), "kil_x", new_id(SESSION)),
}
WITHIN = {"grant": "orders", "path": "x"}  # names within a session: of a foreign one nobody knows any
# What everybody may read is no secret, and who sends to a trigger or hook is judged by what it signs.
NAMING = [row for row in ROUTES if "{" in row.path and row.who not in (Who.ANYBODY, Who.SIGNATURE)]

FOR_CLIENTS = [row for row in NAMING if row.who in (Who.CLIENT, Who.EITHER)]


def _there(world: World, session: str) -> Mapping[str, str]:
    assert world.operator.client is not None
    world.store.charter_rows["demo"], world.store.target_rows["demo"] = a_charter("demo"), a_target("demo")
    return {
        "session_id": session,
        "client_id": world.operator.client.id,
        "name": "demo",
        "kid": world.signer.kid,
        "purpose": "tokens",
        "person": "U-ada",
        "approval_id": new_id(APPROVAL),
        "kill_id": new_id(KILL),
    }


def _said(answer: httpx2.Response) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, answer.content, tuple(sorted(headers.items()))


def _path(row: Row, name: str, value: str) -> str:
    """The row's path with `value` for `name`, and something for whatever stands behind it."""
    filled = row.path.replace("{path:path}", WITHIN["path"]).replace(f"{{{name}}}", value)
    for other in re.findall(r"{(\w+)}", filled):
        filled = filled.replace(f"{{{other}}}", WITHIN.get(other) or ABSENT[other][0])
    return filled


def test_the_matrix_knows_every_name_in_a_path() -> None:
    names = {name for row in NAMING for name in re.findall(r"{(\w+)", row.path)}

    assert names <= ABSENT.keys() | WITHIN.keys()
    assert len(NAMING) >= 20


@pytest.mark.parametrize("row", NAMING, ids=lambda row: f"{row.method} {row.path}")
async def test_a_foreign_thing_reads_like_none(world: World, row: Row) -> None:
    _, opened = await world.open()
    there = _there(world, opened["session"]["id"])
    callers: list[Caller] = [world.enrol("other", Role.WORKLOAD), world.guard, world.stranger()]
    body: object = None if row.method in ("GET", "DELETE") else {}

    for caller in callers:
        name = re.findall(r"{(\w+)", row.path)[0]
        asked = [_path(row, name, value) for value in (there[name], *ABSENT[name])]
        heard = {_said(await caller.send(row.method, path, body)) for path in asked}

        assert len(heard) == 1, (caller.client and caller.client.name, heard)
        assert next(iter(heard))[0] in (401, 403, 404, 422)


@pytest.mark.parametrize("row", FOR_CLIENTS, ids=lambda row: f"{row.method} {row.path}")
async def test_an_operator_hears_the_same_of_every_absent_id_of_one_form(world: World, row: Row) -> None:
    name = re.findall(r"{(\w+)", row.path)[0]
    body: object = None if row.method in ("GET", "DELETE") else {}
    heard = {
        _said(await world.operator.send(row.method, _path(row, name, value), body))[:2]
        for value in ABSENT[name]
    }

    assert len(heard) == 1


@pytest.mark.timed
async def test_the_time_of_an_answer_does_not_tell_them_apart(world: World) -> None:
    _, opened = await world.open()
    took: dict[str, list[float]] = {"there": [], "absent": []}
    paths = {"there": f"/v1/sessions/{opened['session']['id']}", "absent": f"/v1/sessions/{new_id(SESSION)}"}

    for _ in range(300):
        stranger = world.stranger()  # another each time: one alone would be told to wait
        for kind, path in sorted(paths.items(), key=lambda _: random.random()):
            headers = stranger.headers("GET", path)
            began = time.perf_counter()
            answer = await world.http.get(path, headers=headers)
            took[kind].append(time.perf_counter() - began)
            assert answer.status_code == 404

    there, absent = (statistics.median(took[kind]) for kind in ("there", "absent"))
    print(f"{there * 1e6:.0f} µs of a foreign session, {absent * 1e6:.0f} µs of none")
    assert abs(there - absent) < 0.2 * absent
