"""Charters, change windows and policies on a running system: what they refuse, and what they take away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.errors import Invalid, Refused, Unavailable
from sojourn.core.window import parse
from tests.acceptance.ruled import ALL, apply, charter, now, opened, publish, refusal, scope_of, shown
from tests.acceptance.shell import shell
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import ACTION, API_GRANT, AUDIENCE, DATABASE_GRANT, Plan, System, running


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system whose issues land within a second."""
    with running(postgres, Plan(settings={"issue_fence": 1.0})) as system:
        yield system


@pytest.fixture(autouse=True)
def _nothing_is_left_in_force(system: System) -> Iterator[None]:
    yield
    apply(system, ALL)


# -- change windows ------------------------------------------------------------------------


def test_a_privileged_script_must_ask_again_outside_its_change_window(system: System) -> None:
    closes, tomorrow = now() + timedelta(seconds=8), now() + timedelta(days=1)
    publish(system, "change", (now() - timedelta(hours=1), closes), (tomorrow, tomorrow + timedelta(hours=1)))
    charter(system, "privileged", window={"calendar": "change"})

    with shell(system) as sojourn:
        during = sojourn("run", "--task", "privileged:1", "--for", "5m", "--", "sleep", "300")
        later = sojourn("run", "--task", "privileged:2", "--", "true")

    assert during.returncode == 124, during.stderr
    assert datetime.now(UTC) >= closes
    assert "window_closed" in during.stderr
    until(lambda: not system.roles())
    assert later.returncode != 0
    assert "outside_window" in later.stderr and f"{tomorrow:%Y-%m-%dT%H:%M:%S}" in later.stderr


def test_what_is_opened_in_a_window_is_cut_to_it_and_says_so(system: System) -> None:
    closes = now() + timedelta(seconds=90)
    publish(system, "short", (now() - timedelta(hours=1), closes))
    charter(system, "cut", window={"calendar": "short"}, renewals={"times": 3, "by": "5m"})

    live = opened(system, "cut")
    told = shown(system, live.id)

    window = told["window"]
    assert isinstance(window, dict)
    assert parse(str(window["closes"])) == closes
    assert parse(str(told["last_end"])) == closes
    system.end(live.id)


def test_a_blackout_wins_and_a_calendar_that_cannot_be_read_allows_nothing(system: System) -> None:
    always = (now() - timedelta(hours=1), now() + timedelta(hours=9))
    publish(system, "always", always)
    publish(system, "freeze", (now() - timedelta(minutes=1), now() + timedelta(hours=2)))
    charter(system, "frozen", window={"calendar": "always", "blackout": "freeze"})
    charter(system, "unknown", window={"calendar": "never-published"})
    charter(system, "broken", window={"calendar": "broken"})
    (system.place / "state" / "calendars" / "broken.ics").write_text("BEGIN:VCALENDAR\r\nDTSTART:x")

    codes = {name: refusal(system, name).code for name in ("frozen", "unknown", "broken")}

    assert codes == {
        "frozen": "outside_window",
        "unknown": "calendar_unavailable",
        "broken": "calendar_unavailable",
    }
    assert isinstance(refusal(system, "unknown"), Unavailable)
    publish(system, "freeze", (now() + timedelta(hours=2), now() + timedelta(hours=3)))
    system.end(opened(system, "frozen").id)


def test_a_window_that_suspends_is_closed_and_opened_again(system: System) -> None:
    publish(system, "pause", (now() - timedelta(hours=1), now() + timedelta(seconds=4)))
    charter(system, "paused", window={"calendar": "pause", "on_close": "suspend"})
    live = opened(system, "paused", grants=[DATABASE_GRANT])

    until(lambda: system.look(live.id).state == "suspended")
    until(lambda: {lease["state"] for lease in system.leases(live.id)} == {"frozen"})
    with pytest.raises(Refused, match="outside_window"):
        live.resume()
    publish(system, "pause", (now() - timedelta(hours=1), now() + timedelta(hours=1)))
    live.resume()

    assert system.look(live.id).state == "active"
    system.end(live.id)


# -- policies ------------------------------------------------------------------------------


def test_a_policy_refuses_what_a_charter_admits_and_is_named(system: System) -> None:
    charter(system, "ruled")
    apply(
        system,
        ALL
        + '@id("no-shop") forbid (principal, action == Sojourn::Action::"open",'
        + ' resource == Sojourn::Charter::"ruled") when { context.targets.contains("shop") };',
    )

    refused = refusal(system, "ruled")
    live = opened(system, "ruled", grants=[API_GRANT])

    assert refused.code == "policy_refused" and "`no-shop`" in refused.message
    system.end(live.id)


def test_a_living_session_is_ended_when_a_policy_no_longer_lets_it_go_on(system: System) -> None:
    charter(system, "stopped")
    live = opened(system, "stopped", grants=[DATABASE_GRANT])

    apply(
        system,
        ALL
        + '@id("stop") forbid (principal, action == Sojourn::Action::"continue",'
        + ' resource == Sojourn::Charter::"stopped");',
    )
    ended = system.look(live.id, until_ended_s=20)

    assert (ended.state, ended.reason) == ("ended", "policy_changed")
    assert system.roles() == []


def test_a_refused_action_leaves_tokens_and_living_sessions(system: System) -> None:
    actions = [ACTION, "stock.write"]
    grants = {API_GRANT: {"audience": AUDIENCE, "actions": actions}}
    charter(system, "narrowed", grants=grants)
    live = opened(system, "narrowed")

    apply(
        system,
        ALL
        + '@id("read-only") forbid (principal, action == Sojourn::Action::"use",'
        + ' resource == Sojourn::Charter::"narrowed") when { context.action == "stock.write" };',
    )
    until(lambda: shown(system, live.id)["generation"] == 2)
    live.beat()
    fresh = opened(system, "narrowed")

    for one in (live, fresh):
        token = one.token_for(AUDIENCE)
        assert token is not None and scope_of(token) == ACTION
        system.end(one.id)


def test_a_policy_on_facts_that_grow_stops_a_session_at_its_beat(system: System) -> None:
    charter(system, "aging")
    apply(
        system,
        ALL
        + '@id("young-only") forbid (principal, action == Sojourn::Action::"continue",'
        + ' resource == Sojourn::Charter::"aging") when { context.age_s >= 2 };',
    )
    live = opened(system, "aging", grants=[API_GRANT])
    assert live.beat().state == "active"

    def refused() -> bool:
        try:
            live.beat()
        except Refused as error:
            return error.code in ("policy_refused", "session_ended")
        return False

    until(refused)
    assert system.look(live.id, until_ended_s=10).reason == "policy_changed"


def test_people_have_rights_too_and_can_always_stop_things(system: System) -> None:
    junior = system.caller(system.add_client("junior", "operator"))
    apply(
        system,
        ALL
        + '@id("juniors-look") forbid (principal == Sojourn::Operator::"junior",'
        + ' action == Sojourn::Action::"operate", resource)'
        + ' unless { context.verb like "list_*" || context.verb like "show_*" || context.verb == "kill" };',
    )
    charter(system, "watched")
    live = opened(system, "watched", grants=[API_GRANT])

    with pytest.raises(Refused, match="juniors-look"):
        junior.ask("PUT", "/v1/policies", {"text": ALL})
    with pytest.raises(Refused, match="juniors-look"):
        junior.ask("POST", f"/v1/sessions/{live.id}/suspend", {})
    assert junior.ask("GET", f"/v1/sessions/{live.id}").json()["state"] == "active"
    junior.ask("POST", f"/v1/sessions/{live.id}/kill", {})

    assert system.look(live.id, until_ended_s=10).reason == "killed"


def test_without_a_permit_nothing_opens_and_everything_can_be_stopped(system: System) -> None:
    charter(system, "silent")
    live = opened(system, "silent", grants=[API_GRANT])
    apply(
        system,
        '@id("only-ada") permit (principal == Sojourn::Operator::"ada",'
        ' action == Sojourn::Action::"operate", resource) when { context.verb != "kill" };',
    )

    assert refusal(system, "silent").code == "policy_refused"
    system.end(live.id)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("permit (", "bad_policy"),
        ('@id("x") forbid (principal, action, resource) when { context.nothing > 1 };', "bad_policy"),
        ('@id("x") forbid (principal, action, resource);', "would_lock_out"),
        ('@id("x") permit (principal, action, resource) when { ' + "(" * 5000, "bad_policy"),
    ],
    ids=["no Cedar", "no such fact", "locks its author out", "deeper than the engine's stack"],
)
def test_a_bad_policy_never_replaces_a_good_one(system: System, text: str, code: str) -> None:
    charter(system, "steady")

    with pytest.raises((Invalid, Refused), match=code):
        apply(system, text)

    system.end(opened(system, "steady", grants=[API_GRANT]).id)


def test_policies_outlive_a_crash(system: System) -> None:
    charter(system, "kept")
    apply(
        system,
        ALL
        + '@id("kept") forbid (principal, action == Sojourn::Action::"open",'
        + ' resource == Sojourn::Charter::"kept");',
    )

    system.restart()

    assert refusal(system, "kept").code == "policy_refused"


def test_it_is_explained_which_rule_decides_and_on_which_facts(system: System) -> None:
    charter(system, "explained")
    apply(
        system,
        ALL
        + '@id("soon-over") forbid (principal, action == Sojourn::Action::"continue",'
        + ' resource == Sojourn::Charter::"explained") when { context.age_s > 3600 };',
    )
    live = opened(system, "explained", grants=[API_GRANT])

    with shell(system) as sojourn:
        told = sojourn("policy", "explain", live.id)

    assert told.returncode == 0, told.stderr
    assert "allowed: continue" in told.stdout and "age_s = " in told.stdout
    assert ACTION in told.stdout and "policies charters-admit" in told.stdout
    system.end(live.id)
