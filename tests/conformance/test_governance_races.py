"""Races of governance on two nodes of PostgreSQL: exactly one wins, whoever comes how often."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.config import Settings
from sojourn.core.approval import ApprovalState, ask
from sojourn.core.change import Change
from sojourn.core.charter import ApprovalRule
from sojourn.core.client import Client, Role, register
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Refused, Unavailable
from sojourn.core.ids import CLIENT, SESSION, ApprovalId, ClientId, OwnerId, SessionId, from_uuid
from sojourn.core.session import Session, State, request
from sojourn.core.window import Window
from sojourn.services._asking import request_for
from sojourn.services.approve_session import ApproveSession
from sojourn.services.end_session import EndSession
from tests.rig.store import Place, a_session, new_database

pytestmark = pytest.mark.anyio
CLOCK, ENTROPY, SETTINGS = SystemClock(), SystemEntropy(), Settings("http://races")
RULE = ApprovalRule(2, ("ada", "bob"), timedelta(minutes=10), timedelta(minutes=5))
AT_ONCE = 200


@pytest.fixture
async def nodes(request: pytest.FixtureRequest, anyio_backend: str) -> tuple[SqlStore, SqlStore]:
    place = Place("postgresql", dsn=await new_database(request.getfixturevalue("server")))
    return await place.open(), await place.open()


def _approving(store: SqlStore) -> ApproveSession:
    return ApproveSession(store, CLOCK, ENTROPY, EndSession(store, CLOCK, ENTROPY, SETTINGS))


def _person(name: str, owner: str = "ops", role: Role = Role.OPERATOR) -> Client:
    made = ClientId(from_uuid(CLIENT, ENTROPY.uuid7()))
    return Client(made, 1, name, role, OwnerId(owner), {"kty": "EC"}, f"thumb-{name}", CLOCK.now())


def _wish(client: Client) -> Session:
    now = CLOCK.now()
    window = Window(now, now + timedelta(minutes=5))
    made = SessionId(from_uuid(SESSION, ENTROPY.uuid7()))
    return replace(
        a_session(1), id=made, client=client.id, window=window, last_end=window.closes, requested_at=now
    )


async def _race(nodes: tuple[SqlStore, SqlStore], rounds: int) -> None:
    people, runner = [_person("ada"), _person("bob")], _person("runner", "team", Role.WORKLOAD)
    await nodes[0].commit(Change(steps=tuple(register(one) for one in (*people, runner))))
    for _ in range(rounds):
        waiting, asked = request_for(_wish(runner), runner, RULE, ENTROPY)
        await nodes[0].commit(Change(steps=(request(waiting), ask(asked))))
        ends = EndSession(nodes[1], CLOCK, ENTROPY, SETTINGS)

        async def one(
            number: int, asked_id: ApprovalId = asked.id, shown: str = asked.shown_hash
        ) -> bool | None:
            verb = _approving(nodes[number % 2])
            try:
                await verb(asked_id, people[number % 4 // 2], yes=True, shown_hash=shown)
            except (Conflict, Refused):
                return False
            except Unavailable:  # a store that is too busy: it may have landed, or not
                return None
            return True

        answers = [one(number) for number in range(AT_ONCE)]
        landed = await asyncio.gather(*answers, ends(waiting.id, Cause(Reason.KILLED, "race")))
        found = await nodes[0].approval(asked.id)
        session = await nodes[1].session(waiting.id)

        assert found is not None and session is not None
        sure, unsure = sum(one is True for one in landed), sum(one is None for one in landed)
        assert sure <= len(found.answers) <= min(2, sure + unsure)
        assert len({given.key for given in found.answers}) == len(found.answers)
        assert session.state in (State.REVOKING, State.ENDED), "whatever was approved, the kill stands"
        assert found.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
    assert not await nodes[0].replay_differences()
    for node in nodes:
        await node.close()


async def test_one_person_counts_once_and_a_kill_stands_in_a_race_of_two_hundred(
    nodes: tuple[SqlStore, SqlStore],
) -> None:
    await _race(nodes, 2)


@pytest.mark.slow
async def test_a_hundred_rounds_of_that_race(nodes: tuple[SqlStore, SqlStore]) -> None:
    await _race(nodes, 100)
