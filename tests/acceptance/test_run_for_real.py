"""`sojourn run` against the real server and a real database: access lasts as long as the command."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from sojourn.client.jsonfacts import Json, member, members, text
from sojourn.core.window import parse
from tests.acceptance.books import GRANT, left_of, oid_of, with_books
from tests.acceptance.shell import shell
from tests.cli.command import Sojourn, alive, read_pid
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running

MISSED_AFTER_S: Final = 3.0
BOUND_S: Final = MISSED_AFTER_S + 2.0  # due ends happen within two seconds
_TASK: Final = ("--task", "demo:for-real", "--grant", GRANT)


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system whose charter expects a beat each second."""
    with running(postgres) as system:
        with_books(system, beat={"every": "1s", "missed_after": f"{int(MISSED_AFTER_S)}s"})
        yield system


@pytest.fixture
def sojourn(system: System) -> Iterator[Sojourn]:
    """The command."""
    with shell(system) as command:
        yield command


def test_a_query_works_and_leaves_a_receipt_and_no_role(system: System, sojourn: Sojourn) -> None:
    query = "insert into books.lines (line) values ('real') returning 'wrote ' || who"

    done = sojourn("run", *_TASK, "--json", "--", "psql", "-XAtqc", query)

    receipt = json.loads(done.stderr)
    session = member(receipt, "session")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote sj_")
    assert session["state"] == "ended" and member(session, "cause")["reason"] == "completed"
    assert receipt["residual"] == 0 and receipt["took_ms"] is not None
    assert system.roles() == []


def test_the_code_of_the_command_is_the_code_of_the_run(system: System, sojourn: Sojourn) -> None:
    done = sojourn("run", *_TASK, "--quiet", "--", "sh", "-c", "exit 7")

    assert done.returncode == 7 and done.stderr == ""
    assert system.roles() == []


def test_a_killed_wrapper_takes_its_command_along_and_the_session_ends(
    system: System, sojourn: Sojourn, tmp_path: Path
) -> None:
    wrapper = sojourn.start("run", *_TASK, "--", "sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 300")
    child = read_pid(tmp_path / "pid")
    session = text(newest(system), "id")
    oid = oid_of(system, role_of(system, session))

    wrapper.send_signal(signal.SIGKILL)
    began = time.monotonic()
    until(lambda: not alive(child), within_s=5)
    gone_s = time.monotonic() - began
    ended = system.look(session, until_ended_s=20)
    ended_s = time.monotonic() - began

    print(f"wrapper killed: command gone after {gone_s:.2f} s, session ended after {ended_s:.2f} s")
    assert ended.state == "ended" and ended.reason == "missed_beat"
    refused = parse(text(ended.raw, "refused_at")) - parse(text(ended.raw, "requested_at"))
    assert refused >= timedelta(seconds=MISSED_AFTER_S)
    assert ended_s <= BOUND_S + 1.0
    assert left_of(system, [oid]) == 0


def test_an_interrupt_reaches_the_command(system: System, sojourn: Sojourn, tmp_path: Path) -> None:
    script = f"trap 'exit 42' INT; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    wrapper = sojourn.start("run", *_TASK, "--", "sh", "-c", script)
    read_pid(tmp_path / "pid")

    wrapper.send_signal(signal.SIGINT)
    wrapper.communicate(timeout=20)

    assert wrapper.returncode == 42
    assert newest(system)["state"] == "ended"
    assert system.roles() == []


def test_a_daemon_that_left_its_shell_ends_with_the_session(
    system: System, sojourn: Sojourn, tmp_path: Path
) -> None:
    daemon = f"(setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 300' > /dev/null 2>&1 &) "
    script = f"{daemon}; while [ ! -s {tmp_path}/pid ]; do sleep 0.02; done"

    done = sojourn("run", *_TASK, "--", "sh", "-c", script)

    assert done.returncode == 0, done.stderr
    assert not alive(read_pid(tmp_path / "pid"))
    assert newest(system)["state"] == "ended"


def test_a_kill_from_a_second_shell_ends_the_whole_tree(
    system: System, sojourn: Sojourn, tmp_path: Path
) -> None:
    script = (
        f"(setsid sleep 300 & echo $! > {tmp_path}/daemon); trap '' TERM; "
        f"psql -XAtqc 'select pg_sleep(300)' & echo $$ > {tmp_path}/pid; wait; sleep 300"
    )
    wrapper = sojourn.start("run", *_TASK, "--", "sh", "-c", script)
    tree = [read_pid(tmp_path / "pid"), read_pid(tmp_path / "daemon")]
    session = text(newest(system), "id")
    oid = oid_of(system, role_of(system, session))
    until(lambda: left_of(system, [oid]) == 2)  # the role and its query

    killed = sojourn("session", "kill", session, "--json")
    _, complained = wrapper.communicate(timeout=30)

    assert killed.returncode == 0, killed.stderr
    assert member(json.loads(killed.stdout), "session")["state"] == "ended"
    assert "killed" in complained
    assert [alive(pid) for pid in tree] == [False, False]
    assert left_of(system, [oid]) == 0


def test_a_resumed_run_reaches_its_database_again(system: System, sojourn: Sojourn, tmp_path: Path) -> None:
    again = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; psql -XAtqc 'select 11'"
    wrapper = sojourn.start(
        "run", *_TASK, "--", "sh", "-c", f"psql -XAtqc 'select 10'; echo $$ > {tmp_path}/pid; {again}"
    )
    read_pid(tmp_path / "pid")
    session = text(newest(system), "id")

    sojourn("session", "suspend", session)
    until(lambda: {lease["state"] for lease in system.leases(session)} == {"frozen"})
    resumed = sojourn("session", "resume", session)
    (tmp_path / "go").touch()
    said, complained = wrapper.communicate(timeout=20)

    assert resumed.returncode == 0, resumed.stderr
    assert said.split() == ["10", "11"], complained
    assert wrapper.returncode == 0
    assert system.roles() == []


def newest(system: System) -> Json:
    """The session that was asked for last."""
    sessions = members(system.operator.ask("GET", "/v1/sessions?limit=200").json(), "sessions")
    return max(sessions, key=lambda one: str(one["requested_at"]))


def role_of(system: System, session: str) -> str:
    """The name of its role."""
    (lease,) = system.leases(session)
    return text(lease, "handle")
