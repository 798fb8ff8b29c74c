"""A session in each kind of server, through the whole system: added, opened, suspended, resumed, killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.cli.exits import Exit
from sojourn.client.session import LiveSession
from sojourn.client.views import CredentialView
from sojourn.ports.provider import Issued
from tests.acceptance.shell import shell
from tests.acceptance.test_suspend_freezes import resume, suspend
from tests.cli.command import Sojourn
from tests.providers.kits import KITS, Servers
from tests.providers.kits.kit import Kit
from tests.rig.poll import until_async
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running

pytestmark = pytest.mark.anyio

GRANT = "it"


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system of this file's own."""
    with running(postgres) as one:
        yield one


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """The servers of this file."""
    made = Servers()
    try:
        yield made
    finally:
        made.remove()


def add_target(sojourn: Sojourn, kit: Kit, folder: Path) -> None:
    """As the guides say: files, `target add`, `target preflight`."""
    secret, settings = kit.governed()
    for name, content in (("settings", settings), ("templates", {"work": dict(kit.template)})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "secret").write_text(secret.reveal())
    (folder / "secret").chmod(0o600)
    files = [f"--{name}={folder / name}.json" for name in ("settings", "templates")]

    added = sojourn(
        "target",
        "add",
        kit.name,
        "--provider",
        kit.provider_name or kit.name,
        *files,
        f"--secret-file={folder}/secret",
    )
    tried = sojourn("target", "preflight", kit.name)

    assert added.returncode == Exit.OK, added.stderr
    assert secret.reveal() not in added.stdout + added.stderr
    assert tried.returncode == Exit.OK, tried.stdout


def issued_of(live: LiveSession) -> tuple[str, Issued]:
    """The handle, and the credential as a workload was told it."""
    (one,) = live.credentials
    assert isinstance(one, CredentialView)
    (lease,) = live.leases()
    return str(lease["handle"]), Issued(str(lease.get("target_ref")), one.connection, one.secret)


@pytest.mark.parametrize("name", KITS)
async def test_a_session_comes_and_goes_with_its_credential(
    system: System, servers: Servers, name: str, tmp_path: Path
) -> None:
    kit = servers.kit(name)
    with shell(system) as sojourn:
        add_target(sojourn, kit, tmp_path)
    system.apply_charter(grants={GRANT: {"target": name, "template": "work"}})

    live = system.open(grants=[GRANT])
    handle, first = issued_of(live)
    opened = await kit.can_log_in(first)
    suspend(system, live)
    suspended = await until_async(lambda: _refused(kit, first))
    resume(live)
    _, second = issued_of(live)
    resumed = await kit.can_log_in(second), await kit.can_log_in(first)
    system.end(live.id)
    ended = system.look(live.id, until_ended_s=10)

    refused = not await kit.can_log_in(second)
    left = await kit.accounts(handle)
    method = system.leases(live.id)[0].get("method")
    await kit.close()
    assert opened and suspended
    assert resumed == (True, False)
    assert (ended.state, refused, left) == ("ended", True, 0)
    assert "3 reads" in str(method)


async def _refused(kit: Kit, issued: Issued) -> bool:
    return not await kit.can_log_in(issued)
