"""The files a command finds for ssh, git, AWS and kubectl are read by those clients themselves."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta

import botocore.session
import pytest

from sojourn.cli.workspace import Workspace
from sojourn.client.views import CredentialView
from sojourn.core.secret import Secret
from sojourn.ports.provider import Ref
from sojourn.providers.ssh import OpenSsh
from tests.providers.http_rig import ShiftedClock, fresh_intent
from tests.rig.sshd import USER, running_sshd
from tests.rig.unavailable import tool

TOKEN = "ghs_token-of-the-tests"


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    made = Workspace("ses_x", {})
    try:
        yield made
    finally:
        made.remove()


def run(command: list[str], env: Mapping[str, str], stdin: str = "") -> str:
    told = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **env}
    done = subprocess.run(command, input=stdin, env=told, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.anyio
async def test_ssh_reads_its_configuration_from_wherever_the_folder_is(workspace: Workspace) -> None:
    clock = ShiftedClock()
    with running_sshd() as sshd:
        provider = OpenSsh.configured(sshd.settings(), {}, sshd.authority, clock)
        intent = fresh_intent(clock, {"user": USER}, life=timedelta(minutes=2))
        issued = await provider.issue(intent)
        credentials = [CredentialView("db", "host", "ssh", dict(issued.connection), issued.secret)]
        workspace.write(credentials)
        env = workspace.environment(credentials, secrets=False)

        said = run(["ssh", "-F", f"{workspace.folder}/db.ssh", "-T", "db", "echo in"], env)

        await provider.destroy(Ref(intent.handle, issued.target_id, intent.expires_at))
        await provider.close()
    assert said == "in"


def test_aws_finds_its_keys_by_the_path_alone(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"access_key_id": "ASIATEST", "secret_access_key": "s/e+c", "session_token": "t=="}
    credentials = [CredentialView("bucket", "cloud", "aws_sts", {}, Secret(json.dumps(keys)))]
    workspace.write(credentials)
    for name, value in workspace.environment(credentials, secrets=False).items():
        monkeypatch.setenv(name, value)

    found = [
        botocore.session.Session(profile=profile).get_credentials().get_frozen_credentials()
        for profile in (None, "bucket")
    ]

    assert {(one.access_key, one.secret_key, one.token) for one in found} == {("ASIATEST", "s/e+c", "t==")}


def test_git_reads_its_store(workspace: Workspace) -> None:
    told = {"api": "https://api.github.com", "user": "x-access-token"}
    workspace.write([CredentialView("code", "github", "github_app", told, Secret(TOKEN))])
    store = f"--file={workspace.folder}/code.git-credentials"
    git = tool("git", package="git")

    said = run([git, "credential-store", store, "get"], {}, "protocol=https\nhost=github.com\n\n")

    assert f"password={TOKEN}" in said.splitlines()


def test_kubectl_is_told_where_and_with_what(workspace: Workspace) -> None:
    told = {"server": "https://cluster", "namespace": "work"}
    credentials = [CredentialView("jobs", "cluster", "kubernetes_token", told, Secret("e30.e30.x"))]
    workspace.write(credentials)

    place = workspace.environment(credentials, secrets=False)["KUBECONFIG"]
    with open(place, encoding="utf-8") as file:
        config = json.load(file)

    assert config["users"][0]["user"]["token"] == "e30.e30.x"
    assert config["clusters"][0]["cluster"]["server"] == "https://cluster"
    assert config["contexts"][0]["context"]["namespace"] == "work"
