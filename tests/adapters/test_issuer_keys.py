"""Issuer keys: asked for seldom, believed for a while, refused when they cannot be had."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.adapters import outbound
from sojourn.adapters.issuer_keys import IssuerKeys
from sojourn.core.errors import Unavailable
from sojourn.ports.issuers import Federation, IssuerPlace, Reach
from sojourn.testing.clock import ManualClock
from tests.rig.issuers.issuer import Issuer
from tests.rig.issuers.tls import Authority

pytestmark = pytest.mark.anyio


class World:
    """An issuer, and our view of it, on a clock that moves by hand."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.issuer = Issuer(authority.server())
        self.clock = ManualClock()
        place = IssuerPlace(Reach(("127.0.0.0/8",), authority.path))
        self.keys = IssuerKeys(self.clock, Federation({self.issuer.url: place}))

    async def kids(self, kid: str | None = None) -> set[str]:
        return set(await self.keys.keys(self.issuer.url, kid))

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.issuer.close()


async def test_keys_are_kept_for_their_age_and_then_asked_for_again(world: World) -> None:
    for _ in range(5):
        assert await world.kids() == {world.issuer.signing}
    assert world.issuer.fetches == 1

    await world.pass_time(59)
    await world.kids()
    assert world.issuer.fetches == 1

    await world.pass_time(2)
    await world.kids()
    assert world.issuer.fetches == 2


async def test_many_who_wait_share_one_request(world: World) -> None:
    await asyncio.gather(*(world.kids() for _ in range(50)))

    assert world.issuer.fetches == 1


async def test_an_unknown_kid_is_asked_for_once_in_ten_seconds(world: World) -> None:
    await world.kids()
    for number in range(100):
        await world.kids(f"forged-{number}")
    assert world.issuer.fetches == 1

    await world.pass_time(10)
    fresh = world.issuer.rotate(keep=True)
    for _ in range(100):
        assert fresh in await world.kids(fresh)
    assert world.issuer.fetches == 2


async def test_an_issuer_that_rotates_each_second_is_asked_once_in_ten(world: World) -> None:
    for _ in range(60):
        fresh = world.issuer.rotate()
        await world.kids(fresh)
        await world.pass_time(1)

    assert world.issuer.fetches <= 6


async def test_a_failure_is_remembered_and_nothing_old_is_used(world: World) -> None:
    await world.kids()
    world.issuer.down = True
    await world.pass_time(61)

    for _ in range(20):
        with pytest.raises(Unavailable) as refusal:
            await world.kids()
        assert refusal.value.code == "issuer_unavailable"
    assert world.issuer.fetches == 2

    world.issuer.down = False
    await world.pass_time(10)
    assert await world.kids() == {world.issuer.signing}


async def test_keys_that_are_still_fresh_outlive_an_outage(world: World) -> None:
    await world.kids()
    world.issuer.down = True
    await world.pass_time(30)

    assert await world.kids("unheard") == {world.issuer.signing}


async def test_an_empty_set_revokes_every_key(world: World) -> None:
    await world.kids()
    world.issuer.keys = {}
    await world.pass_time(61)

    assert await world.kids() == set()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 7}',
        b"{" * 100_000,
        b"x" * 10_000_000,
        json.dumps({"keys": [{"kid": "a"}] * 201}).encode(),
    ],
    ids=["empty", "a list", "no keys", "keys that are none", "deep", "10 MB", "201 keys"],
)
async def test_an_answer_that_is_no_key_set_fails_closed(world: World, body: bytes) -> None:
    world.issuer.body = body

    with pytest.raises(Unavailable):
        await world.kids()


async def test_a_slow_issuer_is_given_up_and_holds_up_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "WITHIN_S", 0.3)
    await world.kids()
    world.issuer.slow_s = 20
    await world.pass_time(61)

    waiting = [asyncio.create_task(world.kids()) for _ in range(20)]
    done, _ = await asyncio.wait(waiting, timeout=10)

    assert len(done) == 20
    assert all(isinstance(one.exception(), Unavailable) for one in done)
    assert world.issuer.fetches == 2, "one asked, and the others did not ask again"


async def test_a_kid_keeps_naming_the_key_it_first_named(world: World) -> None:
    first = world.issuer.signing
    assert await world.kids() == {first}

    world.issuer.rotate(kid=first)
    await world.pass_time(61)
    assert await world.kids() == set(), "another key under the same id serves nobody"

    world.issuer.rotate(kid="another")
    await world.pass_time(61)
    assert await world.kids() == {"another"}


async def test_a_discovery_document_of_another_issuer_is_refused(world: World) -> None:
    path = "/.well-known/openid-configuration"
    document = {"issuer": "https://other.example", "jwks_uri": f"{world.issuer.url}/.well-known/jwks"}
    world.issuer.server.routes[path] = lambda call: (200, {}, json.dumps(document).encode())

    with pytest.raises(Unavailable):
        await world.kids()

    assert world.issuer.fetches == 0


async def test_keys_that_discovery_places_inside_are_not_fetched(world: World) -> None:
    path = "/.well-known/openid-configuration"
    document = {"issuer": world.issuer.url, "jwks_uri": "https://169.254.169.254/latest/meta-data"}
    world.issuer.server.routes[path] = lambda call: (200, {}, json.dumps(document).encode())

    with pytest.raises(Unavailable) as refusal:
        await world.kids()

    assert "private network" in refusal.value.message


async def test_an_issuer_that_no_file_names_is_not_reached_inside(world: World) -> None:
    keys = IssuerKeys(world.clock, Federation())

    with pytest.raises(Unavailable):
        await keys.keys(world.issuer.url, None)

    assert not world.issuer.server.seen
