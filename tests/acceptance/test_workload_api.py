"""Evidence straight from a SPIFFE agent's socket: for a program, and for `sojourn run`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.client.evidence import workload_here
from sojourn.client.jsonfacts import member
from sojourn.core.errors import Invalid, Unavailable
from tests.acceptance.attested import opened, refusal
from tests.acceptance.login import lets_in
from tests.acceptance.shell import shell
from tests.rig.issuers.platforms import SVID_PATH, Platforms
from tests.rig.issuers.workload_api import Agent
from tests.rig.system import DATABASE_GRANT, System

ID = f"spiffe://shop.example{SVID_PATH}"


@pytest.fixture
def agent(platforms: Platforms, tmp_path: Path) -> Iterator[Agent]:
    """An agent that knows the workload."""
    folder = platforms.spire.authority.svid(ID, folder=tmp_path / "svid")
    made = Agent(
        tmp_path / "agent.sock", ID, folder, lambda audience: platforms.spire.svid(SVID_PATH, [audience])
    )
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["spiffe", "spiffe_x509"])
def test_a_workload_opens_and_beats_while_its_agent_knows_it(
    attested: System, agent: Agent, kind: str
) -> None:
    who = workload_here({}, server=attested.issuer, client="svid", evidence=f"{kind}:{agent.address}")
    live = opened(attested, who)
    assert live.beat().state == "active" and lets_in(live.credentials[0])
    assert live.view.raw["attestor"] == kind and agent.asked == 2

    agent.registered = False
    with pytest.raises(Unavailable) as refused:
        live.beat()

    assert refused.value.code == "evidence_unavailable"
    assert attested.look(live.id).state == "active", "missed beats end it, not one refusal of the agent"
    live.complete()


def test_an_agent_that_knows_nobody_or_is_not_there_opens_nothing(attested: System, agent: Agent) -> None:
    agent.registered = False
    for address in (agent.address, "unix:///nowhere/agent.sock"):
        who = workload_here({"SPIFFE_ENDPOINT_SOCKET": address}, server=attested.issuer, client="svid")
        assert refusal(attested, who).code == "evidence_unavailable"


def test_an_agent_elsewhere_is_not_asked() -> None:
    with pytest.raises(Invalid) as refused:
        workload_here({"SPIFFE_ENDPOINT_SOCKET": "tcp://10.0.0.1:1"}, server="https://a.example", client="b")

    assert refused.value.code == "usage_evidence"


def test_run_finds_the_agent_by_itself(attested: System, agent: Agent) -> None:
    with shell(attested) as sojourn:
        del sojourn.environ["SOJOURN_PROFILE"]
        sojourn.environ["SPIFFE_ENDPOINT_SOCKET"] = agent.address
        told = ("--server", attested.issuer, "--client", "svid", "--grant", DATABASE_GRANT)
        done = sojourn("run", *told, "--task", "deploy:1", "--json", "--", "sh", "-c", "echo $SOJOURN_DIR")

    assert done.returncode == 0, done.stderr
    session = member(json.loads(done.stderr), "session")
    assert session["state"] == "ended" and session["attestor"] == "spiffe_x509"
    assert done.stdout.strip()
