"""Charters on a running system: what they take back, demand and report, and what emergencies owe."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from sojourn.client.jsonfacts import members
from sojourn.client.session import Wish, open_session
from sojourn.core.errors import Invalid
from tests.acceptance.ruled import charter, now, opened, publish, refusal
from tests.acceptance.shell import shell
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import ACTION, API_GRANT, AUDIENCE, DATABASE_GRANT, TARGET, Plan, System, running


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system whose issues land within a second."""
    with running(postgres, Plan(settings={"issue_fence": 1.0})) as system:
        yield system


def test_a_later_charter_takes_back_what_it_no_longer_offers(system: System) -> None:
    charter(system, "later")
    live = opened(system, "later")
    assert system.roles()

    charter(system, "later", grants={API_GRANT: {"audience": AUDIENCE, "actions": [ACTION]}})
    until(lambda: not system.roles())
    narrowed = system.look(live.id)
    charter(system, "later", clients=["somebody-else"])
    ended = system.look(live.id, until_ended_s=20)

    assert narrowed.state == "active"
    assert (ended.state, ended.reason) == ("ended", "policy_changed")


def test_openers_must_show_attested_facts_and_a_claim_is_no_attestation(system: System) -> None:
    charter(system, "attested", clients=["nobody"], openers=[
        {"client": "runner", "selectors": {"github.repository_id": "42"}}
    ])  # fmt: skip
    wish = Wish("attested", "1", None, context={"github.repository_id": "42"})

    assert refusal(system, "attested").code == "not_in_charter"
    with pytest.raises(Invalid, match="attested_name"):
        open_session(system.workload, wish, transport=system.transport)


def test_a_grant_demands_a_class_and_a_weaker_target_is_refused(system: System) -> None:
    grant = {"target": TARGET, "template": "readonly", "at_least": "A"}
    charter(system, "classy", grants={DATABASE_GRANT: grant})

    system.end(opened(system, "classy").id)


def test_lifetime_rules_are_checked_against_the_frameworks(system: System) -> None:
    charter(system, "loose", duration={"default": "10m", "longest": "12h"}, owner="nobody-we-know")
    for _ in range(10):
        system.end(opened(system, "loose", grants=[API_GRANT]).id)
    until(lambda: not members(system.operator.ask("GET", "/v1/sessions?state=revoking").json(), "sessions"))

    with shell(system) as sojourn:
        checked = sojourn("policy", "check", "--server")

    loose = [line for line in checked.stdout.splitlines() if "charter loose" in line]
    assert checked.returncode == 5, checked.stderr
    assert any("loose-lifetime" in line and "NHI7:2025" in line and "PR.AA-05" in line for line in loose)
    assert any("nobody-owns" in line and "NHI1:2025" in line and "AC-2" in line for line in loose)
    assert any("long-lifetime" in line and "AC-12" in line for line in loose)


def test_breaking_the_glass_is_short_loud_and_reviewed(system: System) -> None:
    publish(system, "never", (now() + timedelta(days=20), now() + timedelta(days=21)))
    charter(system, "usual", window={"calendar": "never"})
    charter(
        system,
        "emergency",
        break_glass=True,
        purpose="mend the shop by hand",
        duration={"default": "5m", "longest": "15m"},
        renewals={},
    )

    assert refusal(system, "usual").code == "outside_window"
    live = opened(system, "emergency", grants=[API_GRANT])
    with shell(system) as sojourn:
        early = sojourn("session", "review", live.id, "--note", "too early")
        system.end(live.id)
        owed = sojourn("session", "reviews", "--owed")
        counted = system.operator.ask("GET", "/metrics").body.decode()
        done = sojourn("session", "review", live.id, "--note", "the shop was mended, nothing else")
        twice = sojourn("session", "review", live.id, "--note", "again")
        nothing = sojourn("session", "reviews", "--owed")

    assert early.returncode == twice.returncode == 13
    assert live.id in owed.stdout and live.id not in nothing.stdout
    assert "sojourn_reviews_owed 1.0" in counted
    assert done.returncode == 0, done.stderr
    assert f"{live.id} was opened by the break-glass charter emergency@1" in system.program.words()
