"""The system comes up, gives access, takes it away, and survives the death of its process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.postgres import PostgresServer
from tests.rig.system import Plan, System, running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[System]:
    """A system on each store."""
    with running(postgres, Plan(store=request.param, settings={"issue_fence": 1.0})) as system:
        yield system


def test_a_killed_session_leaves_nothing_in_the_target(system: System) -> None:
    live = system.open()
    there = system.roles()

    system.end(live.id)
    ended = system.look(live.id, until_ended_s=20)

    assert len(there) == 1
    assert ended.state == "ended" and system.roles() == []
    assert [lease["state"] for lease in system.leases(live.id)] == ["destroyed"]


def test_a_session_outlives_the_process_that_opened_it(system: System) -> None:
    live = system.open()

    system.restart()

    assert system.look(live.id).state == "active"
    system.end(live.id)
    assert system.look(live.id, until_ended_s=20).state == "ended" and system.roles() == []


def test_a_server_asked_to_stop_ends_in_order(system: System) -> None:
    system.program.stop()
    code = system.program.exit_code
    system.start()

    assert code == 0, system.program.words()
