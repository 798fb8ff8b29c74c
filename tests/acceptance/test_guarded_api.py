"""The example API, served by uvicorn as its first line says: a route, a stream and a WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sojourn.guard.streams import CLOSE_CODE
from tests.rig.calls import Holder
from tests.rig.flood import open_holders, until_all_accept
from tests.rig.guards import GuardProgram, guards
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running

CUT_WITHIN_S: Final = 2.0
pytestmark = [pytest.mark.anyio, pytest.mark.paced, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A control plane of its own."""
    with running(postgres) as system:
        yield system


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[GuardProgram]:
    """The example, served."""
    with guards(system, 1, factory="examples.guarded_api:create") as (api,):
        yield api
        assert "Traceback" not in api.program.words()  # an application that was cut is no news


async def _inside(system: System, api: GuardProgram) -> Holder:
    (holder,) = await asyncio.to_thread(open_holders, system, 1)
    await until_all_accept([api.port], holder)
    return holder


def _echo(api: GuardProgram, holder: Holder) -> connect:
    headers = holder.headers("GET", f"{api.base}/echo")
    return connect(f"ws://127.0.0.1:{api.port}/echo", additional_headers=headers, proxy=None)


async def _say(socket: ClientConnection, word: str) -> str | bytes:
    await socket.send(word)
    return await asyncio.wait_for(socket.recv(), 5)


async def test_a_route_knows_its_session_and_refuses_it_once_it_is_dead(
    system: System, api: GuardProgram
) -> None:
    holder, url = await _inside(system, api), f"{api.base}/stock"
    async with httpx2.AsyncClient(trust_env=False) as http:
        before = await http.get(url, headers=holder.headers("GET", url))

        await asyncio.to_thread(system.end, holder.session)
        give_up = time.monotonic() + CUT_WITHIN_S
        while (after := await http.get(url, headers=holder.headers("GET", url))).status_code == 200:
            assert time.monotonic() < give_up

    assert before.json() == {"apples": 3, "session": holder.session}
    assert (after.status_code, after.json()["code"]) == (401, "session_over")


async def test_a_stream_of_events_is_cut_when_its_session_is_killed(
    system: System, api: GuardProgram
) -> None:
    holder, url = await _inside(system, api), f"{api.base}/events"
    heard, killed_at = 0, float("-inf")
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as http:
        async with http.stream("GET", url, headers=holder.headers("GET", url)) as answer:
            with pytest.raises(httpx2.RemoteProtocolError):
                async for _ in answer.aiter_text():
                    heard += 1
                    if heard == 1:
                        await asyncio.to_thread(system.end, holder.session)
                        killed_at = time.monotonic()

    assert answer.status_code == 200 and heard >= 1
    assert time.monotonic() - killed_at < CUT_WITHIN_S


async def test_a_websocket_is_closed_when_its_session_is_killed(system: System, api: GuardProgram) -> None:
    holder = await _inside(system, api)
    async with _echo(api, holder) as socket:
        echoed = await _say(socket, "apples")
        await asyncio.to_thread(system.end, holder.session)
        killed_at = time.monotonic()

        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)

    assert echoed == "apples" and time.monotonic() - killed_at < CUT_WITHIN_S
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (CLOSE_CODE, "session_over")


async def test_a_websocket_of_a_dead_session_is_never_opened(system: System, api: GuardProgram) -> None:
    holder = await _inside(system, api)
    async with _echo(api, holder) as socket:
        await asyncio.to_thread(system.end, holder.session)
        await asyncio.wait_for(socket.wait_closed(), 5)

    with pytest.raises(InvalidStatus) as refused:
        async with _echo(api, holder):
            raise AssertionError("it was opened")

    assert refused.value.response.status_code == 401
    assert b"session_over" in (refused.value.response.body or b"")


async def test_a_websocket_of_one_session_outlives_the_end_of_another(
    system: System, api: GuardProgram
) -> None:
    holder, other = await _inside(system, api), await _inside(system, api)
    async with _echo(api, holder) as mine, _echo(api, other) as theirs:
        await _say(mine, "before")
        await asyncio.to_thread(system.end, other.session)
        await asyncio.wait_for(theirs.wait_closed(), 5)

        echoed = await _say(mine, "after")

    assert echoed == "after"
