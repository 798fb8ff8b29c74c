"""Status lists: each session gets a place of its own, and the list says what became of it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import timedelta
from typing import Any, cast

import pytest

from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound
from sojourn.core.status_list import BLOCK, SIZE, Status, read
from sojourn.ports.attestor import Evidence
from sojourn.ports.store import Store
from sojourn.services._status_places import StatusPlaces
from sojourn.services.write_status import TTL, TYPE, WriteStatus
from tests.faces.scripted_parts import Signer
from tests.services.rig import play
from tests.sim.world import KEY, Node, World


def claims_of(jwt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = (part + "=" * (-len(part) % 4) for part in jwt.split("."))
    return json.loads(base64.urlsafe_b64decode(header)), json.loads(base64.urlsafe_b64decode(payload))


def test_what_becomes_of_a_session_is_in_the_very_next_list() -> None:
    async def story(world: World, process: Node) -> None:
        lists = WriteStatus(world.store, world.clock, Signer(), "http://sim")
        session = (await world.open(process, "db")).session
        assert session.status_list is not None and session.status_index is not None

        async def said() -> int:
            await world.clock.sleep(0.3)
            header, claims = claims_of(await lists(str(session.status_list)))
            assert header["typ"] == TYPE and claims["sub"] == (await lists.lists())[0]
            assert claims["ttl"] == TTL.total_seconds() and claims["status_list"]["bits"] == 2
            return read(claims["status_list"]["lst"], session.status_index or 0)

        seen = [await said()]
        await process.suspend(session.id, Cause(Reason.SUSPENDED, "ops"))
        seen.append(await said())
        await process.reap.run_once()
        await process.resume(session.id, Evidence("test", ""), KEY)
        seen.append(await said())
        await process.end(session.id, Cause(Reason.KILLED, "ops"))
        seen.append(await said())

        assert seen == [Status.VALID, Status.SUSPENDED, Status.VALID, Status.INVALID]
        await process.reap.run_once()
        assert await lists.lists() == (), "nobody in it lives"
        with pytest.raises(NotFound):
            await lists("1-20260101-7")

    play(story)


def test_no_place_is_given_twice_by_two_processes_nor_on_the_next_day() -> None:
    async def story(world: World, process: Node) -> None:
        one, other = (StatusPlaces(world.store, world.clock, world.entropy) for _ in range(2))

        places = [await giver.take() for _ in range(BLOCK + 9) for giver in (one, other)]
        await world.clock.sleep(timedelta(days=1).total_seconds())
        tomorrow = [await giver.take() for giver in (one, other)]

        assert len(set(places)) == len(places)
        assert len({name for name, _ in places}) == 1
        assert {name for name, _ in tomorrow}.isdisjoint({name for name, _ in places})

    play(story)


def test_a_full_list_is_followed_by_another() -> None:
    async def story(world: World, process: Node) -> None:
        givers = [StatusPlaces(world.store, world.clock, world.entropy) for _ in range(SIZE // BLOCK + 1)]

        names = [(await giver.take())[0] for giver in givers]

        assert len(set(names)) == 2 and names[-1].endswith("-1")

    play(story)


class Asked:
    """The store, with a count of what it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.times: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.times[name] += 1
        return getattr(self._store, name)


@pytest.mark.parametrize("before", [0, 1, 2, 7, 200, SIZE // BLOCK - 1, SIZE // BLOCK, SIZE // BLOCK + 5])
def test_a_place_costs_the_same_however_many_were_given_before(before: int) -> None:
    async def story(world: World, process: Node) -> None:
        given = {await StatusPlaces(world.store, world.clock, world.entropy).take() for _ in range(before)}
        store = Asked(world.store)
        places = StatusPlaces(cast("Store", store), world.clock, world.entropy)

        first = [await places.take() for _ in range(BLOCK)]
        begin, store.times = store.times, Counter()
        then = [await places.take() for _ in range(BLOCK)]

        assert len(given | {*first, *then}) == before + 2 * BLOCK
        assert begin["commit"] <= 2 and begin["mark"] <= 3 + 2 * before.bit_length()
        assert store.times["commit"] <= 2 and store.times["mark"] <= 3

    play(story)
