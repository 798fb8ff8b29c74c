"""What was spent once serves nobody again: tokens, runs, and neither after a crash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.client.evidence import Workload
from sojourn.client.session import Wish, open_session
from sojourn.client.signing import Es256Key
from sojourn.core.errors import Refused
from tests.acceptance.attested import Fixed, opened, refusal
from tests.rig.issuers.github import Job
from tests.rig.issuers.platforms import Platforms
from tests.rig.system import DATABASE_GRANT, System


@pytest.fixture(scope="module")
def system(attested: System) -> System:
    """A system that knows every platform."""
    return attested


def test_no_replayed_evidence_is_accepted(system: System, platforms: Platforms) -> None:
    job, github = platforms.job(system)
    fixed = Fixed(github.source)
    live = opened(system, replace(github, source=fixed))
    accepted = 0
    for _ in range(50):
        thief = Workload(system.issuer, fixed)
        accepted += refusal(system, thief, "lenient").code not in ("replayed", "run_spent")
        with pytest.raises(Refused) as refused:
            live.beat()
        accepted += refused.value.code != "replayed"

    assert accepted == 0
    assert system.look(live.id).state == "active", "a replay ends nothing"
    live.complete()
    assert refusal(system, Workload(system.issuer, fixed)).code in ("replayed", "run_spent")
    assert job.run_id in str(live.view.raw)


def test_one_run_attempt_has_one_session(system: System, platforms: Platforms) -> None:
    job, workload = platforms.job(system)
    first = opened(system, workload)

    assert refusal(system, workload).code == "run_spent"
    first.complete()
    assert refusal(system, workload).code == "run_spent"

    _, again = platforms.job(system, Job(run_id=job.run_id, run_attempt="2"))
    second = opened(system, again)
    second.complete()


def test_a_session_whose_secrets_were_lost_does_not_spend_the_run(
    system: System, platforms: Platforms
) -> None:
    _, workload = platforms.job(system)
    key, wish = Es256Key.generate(), Wish("deploy", "1", [DATABASE_GRANT])
    lost = open_session(workload, wish, key=key, transport=system.transport)
    lost.complete()

    again = open_session(workload, wish, key=key, transport=system.transport)

    assert again.view.state == "active"
    again.complete()


def test_a_session_that_never_came_to_life_does_not_spend_the_run(
    system: System, platforms: Platforms
) -> None:
    _, workload = platforms.job(system)
    system.postgres.sql(f'ALTER ROLE "{system.database}" NOCREATEROLE')
    try:
        assert refusal(system, workload).code != "run_spent"
    finally:
        system.postgres.sql(f'ALTER ROLE "{system.database}" CREATEROLE')

    opened(system, workload).complete()


def test_nothing_that_was_spent_serves_again_after_a_crash(system: System, platforms: Platforms) -> None:
    _, github = platforms.job(system)
    fixed = Fixed(github.source)
    spent = Workload(system.issuer, fixed)
    live = opened(system, spent)
    live.complete()

    system.restart()

    assert refusal(system, spent).code in ("replayed", "run_spent")
    assert refusal(system, github).code == "run_spent"
    with pytest.raises(Refused):
        live.beat()
