"""GitHub Actions: exact jobs are recognised, and nothing that only looks like one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sojourn.attestors.github_actions import TABLE
from sojourn.core.errors import Refused, SojournError, Unauthenticated, Unavailable
from tests.attestors.world import US, World
from tests.rig.issuers.github import REPOSITORY_ID, GitHub, Job

pytestmark = pytest.mark.anyio
KIND = "github_actions"


async def ready(world: World, github: GitHub, **rule: str) -> None:
    """Register the client of the job's repository."""
    said = {"repository_id": REPOSITORY_ID, "environment": "production", **rule}
    await world.federate(KIND, {"issuer": github.issuer.url, **said})


async def refused(world: World, token: str, **named: str) -> SojournError:
    """The refusal of a token."""
    with pytest.raises((Unauthenticated, Unavailable, Refused)) as refusal:
        await world.attest(KIND, token, **named)
    return refusal.value


async def test_a_job_is_recognised_with_all_its_facts(world: World, github: GitHub) -> None:
    await ready(world, github)
    job = github.start()

    seen = await world.attest(KIND, github.token(job, US))

    assert seen.client.name == "deploy" and seen.unknown == ()
    assert seen.selectors["github.run_id"] == job.run_id
    assert seen.selectors["github.sha"] == job.sha
    assert seen.context == seen.selectors
    assert {
        "github.repository_id",
        "github.run_id",
        "github.run_attempt",
        "github.check_run_id",
    } == seen.identity
    assert seen.run is not None and job.check_run_id in seen.run


async def test_a_token_serves_once(world: World, github: GitHub) -> None:
    await ready(world, github)
    token = github.token(github.start(), US)
    await world.attest(KIND, token)

    accepted = 0
    for _ in range(100):
        accepted += (await refused(world, token)).code != "replayed"

    assert accepted == 0


async def test_the_old_and_the_new_subject_are_the_same_to_us(world: World, github: GitHub) -> None:
    await ready(world, github)
    old = Job(more={"sub": "repo:octo-org/shop:environment:production"})

    assert (await world.attest(KIND, github.token(old, US))).client.name == "deploy"


UNLIKE: list[tuple[str, dict[str, Any]]] = [
    ("another repository", {"repository_id": "456780"}),
    ("another repository of the same name", {"repository_id": "1", "repository": "octo-org/shop"}),
    ("another environment", {"environment": "staging"}),
    ("a pull request", {"event_name": "pull_request"}),
    ("a pull request of a fork", {"event_name": "pull_request_target"}),
    ("an id that is a number with a zero", {"repository_id": "0456789"}),
    ("no run", {"run_id": None}),
    ("no attempt", {"run_attempt": None}),
    ("no check run", {"check_run_id": None}),
    ("an empty run", {"run_id": ""}),
    ("no jti", {"jti": None}),
    ("an endless jti", {"jti": "x" * 129}),
    ("a list for a repository", {"repository_id": [REPOSITORY_ID]}),
    ("an object for a repository", {"repository_id": {"is": REPOSITORY_ID}}),
    ("two audiences", {"aud": [US, "https://other.example"]}),
    ("another audience", {"aud": "https://github.com/octo-org"}),
    ("no audience", {"aud": None}),
    ("another issuer", {"iss": "https://token.actions.githubusercontent.com"}),
    ("no expiry", {"exp": None}),
    ("an expiry that passed", {"exp": 1_700_000_000}),
    ("a birth to come", {"iat": 4_000_000_000}),
]


@pytest.mark.parametrize(("what", "change"), UNLIKE, ids=[what for what, _ in UNLIKE])
async def test_a_token_is_refused_for(
    world: World, github: GitHub, what: str, change: Mapping[str, Any]
) -> None:
    await ready(world, github)
    claims = {**github.issuer.stamp(US), **github.start().claims(), **change}

    await refused(world, github.issuer.sign({k: v for k, v in claims.items() if v is not None}))


async def test_who_shows_no_signature_of_the_issuer_learns_nothing(world: World, github: GitHub) -> None:
    await ready(world, github)
    job = github.start()
    stranger = GitHub(world.authority.server())
    try:
        forged = stranger.token(job, US)
        token = github.token(job, US)
        answers = {
            str(await refused(world, forged)),
            str(await refused(world, forged, client="nobody")),
            str(await refused(world, token, client="nobody")),
            str(await refused(world, token, client="")),
            str(await refused(world, token[:-8] + "AAAAAAAA")),
        }
    finally:
        stranger.close()

    assert len(answers) == 1


async def test_a_pull_request_is_taken_where_the_rule_says_so(world: World, github: GitHub) -> None:
    await ready(world, github, event_name="pull_request")

    seen = await world.attest(KIND, github.token(Job(event_name="pull_request"), US))

    assert seen.selectors["github.event_name"] == "pull_request"


async def test_an_unknown_claim_is_reported_and_not_used(world: World, github: GitHub) -> None:
    await ready(world, github)
    token = github.token(Job(more={"brand_new": "x", "repo_property_team": "shop"}), US)

    seen = await world.attest(KIND, token)

    assert seen.unknown == ("brand_new",)
    assert "github.brand_new" not in seen.selectors
    assert seen.selectors["github.repo_property_team"] == "shop"


async def test_an_issuer_that_is_down_opens_nothing(world: World, github: GitHub) -> None:
    await ready(world, github)
    github.issuer.down = True

    assert (await refused(world, github.token(github.start(), US))).code == "issuer_unavailable"


def test_each_claim_of_a_job_stands_in_the_table_once() -> None:
    claims = set(Job().claims())
    named = [*TABLE.required, *TABLE.pinned, *TABLE.optional, *TABLE.ignored]

    assert claims <= set(named)
    assert len(named) == len(set(named))
