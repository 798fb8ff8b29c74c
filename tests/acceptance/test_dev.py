"""`sojourn dev` in one shell, `sojourn run` in the next: nothing else is needed for a session."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from sojourn.client.profile import Profile, load_profile, save_profile
from sojourn.client.signing import Es256Key
from sojourn.faces.http.serving_file import dev_serving
from sojourn.running import assemble
from sojourn.wiring import Deployment
from tests.rig.nursery import ROOT
from tests.rig.program import Program, free_port

COMMAND = [sys.executable, "-c", "from sojourn.cli.main import main; main()"]
PORT = 8787


def test_run_works_in_a_second_shell_and_again_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_RUNTIME_DIR": str(tmp_path)}
    server = Program(
        [*COMMAND, "dev", "--state", str(tmp_path / "state"), "--port", str(port)],
        tmp_path / "server.log",
        env=environ,
    )
    profile = tmp_path / "config" / "sojourn" / "workload.json"

    def run() -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "run", "--json", "--", "sh", "-c", "env; ls $SOJOURN_DIR"]
        return subprocess.run(
            command, env={**os.environ, **environ}, cwd=ROOT, capture_output=True, text=True, timeout=30
        )

    try:
        server.start()
        server.wait_for(f"http://127.0.0.1:{port}/readyz")
        first, key = run(), json.loads(profile.read_text())["jwk"]["d"]
        seen = [Path(f"/proc/{server.pid}/{name}").read_text() for name in ("cmdline", "environ")]
        server.stop()
        server.start()
        server.wait_for(f"http://127.0.0.1:{port}/readyz")
        again = run()
    finally:
        server.stop()

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr + server.words()
    assert json.loads(first.stderr)["session"]["state"] == "ended" and "api.sock" in first.stdout
    assert stat.S_IMODE(profile.stat().st_mode) == 0o600
    assert json.loads(profile.read_text())["jwk"]["d"] == key, "a restart makes no new workload"
    assert not any(key in words for words in (*seen, first.stdout, first.stderr, server.words()))


Opened = Callable[[str], AbstractAsyncContextManager[Deployment]]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Deployments whose user has one configuration folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SOJOURN_PROFILE", raising=False)

    @asynccontextmanager
    async def one(state: str) -> AsyncIterator[Deployment]:
        deployment = await assemble(dev_serving(tmp_path / state, PORT))
        yield deployment
        await deployment.stop()

    return one


@pytest.mark.anyio
async def test_a_server_whose_state_was_deleted_enrols_its_workload_anew(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened("one") as deployment:
        first = load_profile(await deployment.enrol_dev(tmp_path / "one"))

    async with opened("two") as deployment:
        path = await deployment.enrol_dev(tmp_path / "two")
        second = load_profile(path)
        kept = load_profile(await deployment.enrol_dev(tmp_path / "two"))

    assert first.client_id != second.client_id == kept.client_id
    assert path == tmp_path / "config" / "sojourn" / "workload.json"


@pytest.mark.anyio
async def test_a_lost_profile_costs_the_workload_it_was_for(opened: Opened, tmp_path: Path) -> None:
    async with opened("one") as deployment:
        path = await deployment.enrol_dev(tmp_path / "one")
        lost = load_profile(path)
        path.unlink()
        await deployment.enrol_dev(tmp_path / "one")
        clients = {client.id: client for client in await deployment.store.clients()}

    assert [client.removed_at is None for client in clients.values()] == [False, True]
    assert clients[lost.client_id].removed_at is not None  # type: ignore[index]


@pytest.mark.anyio
@pytest.mark.parametrize("there", ["another server's", "no profile at all"])
async def test_what_is_somebody_elses_is_left_alone(opened: Opened, tmp_path: Path, there: str) -> None:
    usual = tmp_path / "config" / "sojourn" / "workload.json"
    save_profile(usual, Profile("https://elsewhere", "cli_x", "job", "workload", Es256Key.generate()))
    if there == "no profile at all":
        usual.write_text("notes")
    before = usual.read_text()

    async with opened("one") as deployment:
        path = await deployment.enrol_dev(tmp_path / "one")
        again = await deployment.enrol_dev(tmp_path / "one")

    assert usual.read_text() == before
    assert path == again == tmp_path / "one" / "workload.json"
    assert load_profile(path).issuer == f"http://127.0.0.1:{PORT}"
