"""Families against the real server and a real database: a child's access ends with its parent's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from sojourn.client.jsonfacts import text
from sojourn.client.session import ChildWish, LiveSession
from sojourn.core.errors import Refused
from sojourn.ledger.verdict import Result
from sojourn.ledger.verify import verify
from tests.acceptance.shell import shell
from tests.cli.command import Sojourn
from tests.rig.postgres import PostgresServer
from tests.rig.system import DATABASE_GRANT, System, running

COUNT = "select count(*) from shop.orders"


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system whose charter allows two generations of children."""
    with running(postgres) as system:
        system.apply_charter(children={"depth": 2, "fan_out": 3}, renewals={"times": 1, "by": "2m"})
        yield system


@pytest.fixture
def sojourn(system: System) -> Iterator[Sojourn]:
    """The command."""
    with shell(system) as command:
        yield command


def test_a_child_works_under_its_own_name_and_dies_with_its_parent(system: System) -> None:
    parent = system.open("family")
    child = parent.child(ChildWish(ref="sub", grants=[DATABASE_GRANT], duration=timedelta(minutes=5)))
    grandchild = child.child()
    roles = {one.credentials[0].connection["user"] for one in (parent, child, grandchild)}
    assert len(roles) == 3 and set(system.roles()) == roles
    assert not child.token_for("https://stock.example")
    with pytest.raises(Refused, match="too_deep"):
        grandchild.child()

    system.end(parent.id)

    for one in (parent, child, grandchild):
        assert system.look(one.id, until_ended_s=20).state == "ended"
        with pytest.raises(Refused, match="session_ended"):
            one.beat()
    assert system.look(grandchild.id).reason == "parent_ended"
    assert system.roles() == []


def test_each_of_a_family_has_its_own_proof(system: System) -> None:
    parent = system.open("proof")
    child = parent.child()
    system.end(parent.id)
    vkey = text(system.operator.ask("GET", "/.well-known/sojourn").json(), "log_vkey")

    for one in (parent, child):
        assert system.look(one.id, until_ended_s=20).state == "ended"
        verdict = verify(bundle_of(system, one), [vkey])
        assert verdict.result is Result.VERIFIED and verdict.ended, verdict.lines()
    facts = bundle_of(system, parent).decode()
    assert "session.child_opened" in facts and child.id in facts


def bundle_of(system: System, session: LiveSession) -> bytes:
    return system.operator.ask("GET", f"/v1/sessions/{session.id}/evidence").body


def test_a_command_inside_a_session_runs_in_a_child_of_it(sojourn: Sojourn, system: System) -> None:
    inner = f"sojourn run --parent --grant {DATABASE_GRANT} --json -- psql -XAtqc '{COUNT}'"
    inner = inner.replace("sojourn run", " ".join(_quoted(word) for word in [*sojourn.argv, "run"]), 1)

    done = sojourn("run", "--task", "demo:outer", "--json", "--", "sh", "-c", inner)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"
    receipts = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    below, above = (receipt["session"] for receipt in receipts)
    assert below["ancestors"] == [above["id"]] and below["task"] == above["task"]
    assert below["key"] != above["key"] and {below["state"], above["state"]} == {"ended"}
    assert system.roles() == []


def test_a_child_is_asked_for_inside_a_session_only(sojourn: Sojourn) -> None:
    outside = sojourn("run", "--parent", "--", "true")
    both = sojourn("run", "--parent", "--task", "demo:1", "--", "true")

    assert outside.returncode != 0 and "no_parent" in outside.stderr
    assert both.returncode == 2 and "usage_parent" in both.stderr


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
