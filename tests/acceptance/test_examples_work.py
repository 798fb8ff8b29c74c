"""Each printed example does its work on its platform: real tokens, a real server, a real login."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sojourn.cli.examples import FILES, render
from sojourn.cli.exits import Exit
from sojourn.client.evidence import SECRET_VARIABLES
from sojourn.client.profile import save_profile
from tests.architecture.tree import ROOT
from tests.rig.issuers.platforms import SVID_PATH, Platforms
from tests.rig.poll import until
from tests.rig.postgres import BINARIES
from tests.rig.system import System

TOOLS: Final = os.pathsep.join([str(Path(sys.executable).parent), str(BINARIES), os.environ["PATH"]])
# What an example runs in its session: one query, and the names of all it was told.
MIGRATE: Final = """#!/bin/sh
set -eu
psql -XAtqc "select 'rows ' || count(*) from shop.orders"
env | cut -d= -f1 > names
"""


@pytest.fixture(scope="module")
def system(attested: System) -> System:
    """A system with the charter that the examples name."""
    return attested


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout with the script that the examples run."""
    script = tmp_path / "migrate.sh"
    script.write_text(MIGRATE)
    script.chmod(0o755)
    return tmp_path


def run(command: str, place: Path, environ: Mapping[str, str]) -> str:
    """What a shell step says, as a runner starts it; it must succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN")}
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=place,
        env={**kept, "HOME": str(place), "PATH": TOOLS, **environ},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert "0 residual" in done.stderr or "residual" not in done.stderr
    return done.stdout


def judge(said: str, place: Path, system: System) -> None:
    """It worked, its command could not pass for the workload, and nothing is left."""
    assert said.strip() == "rows 3"
    names = set((place / "names").read_text().split())
    assert not names & SECRET_VARIABLES
    assert system.roles() == []


def test_the_github_workflow_works(system: System, platforms: Platforms, place: Path) -> None:
    workflow = yaml.safe_load(render("github", system.issuer, "gh"))
    job = workflow["jobs"]["migrate"]
    started = platforms.github.start()
    assert job["permissions"]["id-token"] == "write" and job["environment"] == started.environment
    assert workflow["permissions"] == {}
    (step,) = [one["run"] for one in job["steps"] if "sojourn run" in one.get("run", "")]
    told = {"GITHUB_RUN_ID": started.run_id, **platforms.github.environment_of(started)}

    said = run(step, place, {**job["env"], **told})

    judge(said, place, system)


def test_the_gitlab_job_works(system: System, platforms: Platforms, place: Path) -> None:
    job = yaml.safe_load(render("gitlab", system.issuer, "gl"))["migrate"]
    audience = job["id_tokens"]["SOJOURN_ID_TOKEN"]["aud"]
    started = platforms.gitlab.start()
    told = {
        "SOJOURN_ID_TOKEN": platforms.gitlab.token(started, audience),
        "CI_JOB_ID": started.job_id,
        "GITLAB_CI": "true",
    }
    (script,) = job["script"]

    said = run(script, place, {**job["variables"], **told})

    judge(said, place, system)


def test_the_kubernetes_job_works(system: System, platforms: Platforms, place: Path) -> None:
    documents = list(yaml.safe_load_all(render("kubernetes", system.issuer, "pod")))
    account, job, role = documents
    spec = job["spec"]["template"]["spec"]
    assert account["metadata"]["name"] == spec["serviceAccountName"] == platforms.pod.account
    assert job["metadata"]["namespace"] == platforms.pod.namespace
    assert not spec["automountServiceAccountToken"]
    assert {one["resources"][0] for one in role["rules"]} == {"tokenreviews", "pods"}
    (container,) = spec["containers"]
    projected = spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
    mounted = Path(container["volumeMounts"][0]["mountPath"]) / projected["path"]
    environ = {one["name"]: one["value"] for one in container["env"]}
    assert environ["SOJOURN_EVIDENCE"] == f"kubernetes:{mounted}"
    token = place / "token"  # the kubelet would put it where the manifest says
    token.write_text(platforms.cluster.token(platforms.cluster.run(), projected["audience"]))

    said = run(" ".join(container["command"]), place, {**environ, "SOJOURN_EVIDENCE": f"kubernetes:{token}"})

    judge(said, place, system)


def test_the_spiffe_workload_works(system: System, platforms: Platforms, place: Path) -> None:
    script = render("spiffe", system.issuer, "svid")
    svid = place / "svid.jwt"
    svid.write_text(platforms.spire.svid(SVID_PATH, [system.issuer]))

    said = run(script, place, {"SVID_FILE": str(svid)})

    judge(said, place, system)


def test_a_job_that_ends_under_its_command_ends_the_command(
    system: System, platforms: Platforms, place: Path
) -> None:
    started = platforms.github.start()
    environ = {**os.environ, "PATH": TOOLS, "HOME": str(place), **platforms.github.environment_of(started)}
    words = ["sojourn", "run", "--server", system.issuer, "--client", "gh", "--task", "deploy:1"]
    running = subprocess.Popen(
        [*words, "--", "sh", "-c", "touch ready; sleep 60"],
        cwd=place,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: (place / "ready").exists(), within_s=20)
        started.finished = True
        _, complained = running.communicate(timeout=20)
    finally:
        running.kill()

    assert running.returncode == Exit.SESSION_ENDED
    assert "job_finished" in complained
    assert system.roles() == []


def test_the_plain_script_works(system: System, place: Path) -> None:
    script = place / "script.py"
    script.write_text(render("script"))
    save_profile(place / ".config" / "sojourn" / "workload.json", system.workload)

    said = run(f"{sys.executable} {script}", place, {})

    assert said.strip() == "rows 3"
    until(lambda: system.roles() == [])


@pytest.mark.parametrize("name", FILES)
def test_the_printed_example_is_the_file_in_the_repository_and_holds_no_secret(name: str) -> None:
    (kept,) = (ROOT / "examples" / "federated").glob(FILES[name].replace(".txt", ".py"))
    shown = render(name)

    assert kept.read_text("utf-8") == shown
    for word in ("BEGIN", "password:", "eyJ", "-----", "glpat-", "ghp_"):
        assert word not in shown


def test_an_example_names_the_server_and_client_it_is_asked_for() -> None:
    for name in ("github", "gitlab", "kubernetes", "spiffe"):
        shown = render(name, "https://sojourn.corp:8443", "billing")

        assert "https://sojourn.corp:8443" in shown and "billing" in shown
        assert "sojourn.example" not in shown


def test_a_client_is_registered_by_the_command_that_the_example_shows(
    system: System, place: Path, platforms: Platforms
) -> None:
    save_profile(place / ".config" / "sojourn" / "operator.json", system.operator._profile)
    shown = render("github", system.issuer, "shown")
    (command,) = _commands(shown, "sojourn client add")

    said = run(command, place, {})

    assert "has no key" in said and f"--server {system.issuer} --client shown" in said
    listed: Any = yaml.safe_load(run("sojourn client ls --json", place, {}))
    (made,) = [one for one in listed["clients"] if one["name"] == "shown"]
    assert made["attestor"] == "github_actions" and made["rule"]["audience"] == system.issuer


def _commands(text: str, beginning: str) -> list[str]:
    """The commands of a comment that begin so, their lines joined."""
    plain = "\n".join(line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
    joined = plain.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith(beginning)]
