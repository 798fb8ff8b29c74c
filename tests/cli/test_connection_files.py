"""The files a command finds are read by the usual clients, against real servers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sojourn.cli.workspace import Workspace
from sojourn.client.views import CredentialView
from sojourn.core.secret import Secret
from sojourn.ports.provider import Issued, Ref
from tests.providers.kits import Servers
from tests.providers.kits.kit import Kit
from tests.rig.unavailable import tool

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Servers of this file's own."""
    made = Servers()
    try:
        yield made
    finally:
        made.remove()


def view(kit: Kit, issued: Issued, grant: str = "db") -> CredentialView:
    return CredentialView(
        grant, "target", kit.provider_name or kit.name, dict(issued.connection), issued.secret
    )


def run(command: list[str], env: Mapping[str, str], stdin: str = "") -> str:
    done = subprocess.run(
        command, input=stdin, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["mariadb", "mysql"])
async def test_mariadbs_client_reads_its_option_file_by_name_and_by_home(servers: Servers, name: str) -> None:
    kit = servers.kit(name)
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    workspace = Workspace("ses_x", {})
    credentials = [view(kit, issued)]
    workspace.write(credentials)
    client = tool("mariadb", package="mariadb-client")
    ask = ["-N", "-e", "SELECT CONCAT(USER(), ' ', DATABASE())"]

    env = workspace.environment(credentials, secrets=False)
    by_name = run([client, f"--defaults-file={workspace.folder}/db.cnf", *ask], {})
    by_home = run([client, *ask], env)

    workspace.remove()
    await kit.provider.destroy(Ref(intent.handle, issued.target_id))
    await kit.close()
    assert by_name == by_home == f"{intent.handle}@localhost shop"
    assert issued.secret.reveal() not in str(env)


async def test_redis_cli_logs_in_by_the_auth_file(servers: Servers) -> None:
    kit = servers.kit("redis")
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    workspace = Workspace("ses_x", {})
    workspace.write([view(kit, issued, "cache")])
    client = tool("redis-cli", package="redis-tools")

    stdin = (workspace.folder / "cache.auth").read_text() + "SET orders:1 x\nGET orders:1\n"
    said = run([client, "-p", str(kit.port)], {}, stdin)

    url = (workspace.folder / "cache.url").read_text()
    workspace.remove()
    await kit.provider.destroy(Ref(intent.handle, issued.target_id))
    await kit.close()
    assert said.split() == ["OK", "OK", "x"]
    assert url == f"redis://{intent.handle}:{issued.secret.reveal()}@127.0.0.1:{kit.port}\n"


def test_a_broker_and_a_credentials_file_are_written_in_their_own_form(tmp_path: Path) -> None:
    rabbit = {"host": "mq.example", "port": "5671", "user": "sj", "vhost": "/a b", "tls": "verify-full"}
    creds = "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n"
    workspace = Workspace("ses_x", {"XDG_RUNTIME_DIR": str(tmp_path)})
    credentials = [
        CredentialView("mq", "t", "rabbitmq", rabbit, Secret("p/w")),
        CredentialView("bus", "t", "nats", {"host": "n"}, Secret(creds)),
    ]

    workspace.write(credentials)

    url = (workspace.folder / "mq.url").read_text()
    env = workspace.environment(credentials, secrets=False)
    assert url == "amqps://sj:p%2Fw@mq.example:5671/%2Fa%20b\n"
    assert Path(env["NATS_CREDS"]).read_text() == creds
    assert all(one.stat().st_mode & 0o77 == 0 for one in workspace.folder.iterdir())
    workspace.remove()


def test_hostile_values_stay_inside_their_option(tmp_path: Path) -> None:
    told = {"host": 'h"\n[client]\nx=', "port": "1", "user": "u\\", "tls": "verify-full", "database": 'd"'}
    workspace = Workspace("ses_x", {"XDG_RUNTIME_DIR": str(tmp_path)})

    workspace.write([CredentialView("../up", "t", "mysql", told, Secret("w"))])

    lines = (workspace.folder / "___up.cnf").read_text().splitlines()
    workspace.remove()
    assert [line.partition("=")[0] for line in lines] == [
        "[client]", "host", "port", "user", "password",
        "ssl", "ssl-verify-server-cert",
        "[mysql]", "database",
    ]  # fmt: skip
