"""GitLab CI: a job is recognised while GitLab says that it runs."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn.attestors.gitlab_ci import TABLE
from sojourn.core.errors import Refused, Unauthenticated, Unavailable
from tests.attestors.world import US, World
from tests.rig.issuers.gitlab import PROJECT_ID, GitLab, Job

pytestmark = pytest.mark.anyio
KIND = "gitlab_ci"


async def ready(world: World, gitlab: GitLab) -> None:
    rule = {"issuer": gitlab.issuer.url, "project_id": PROJECT_ID, "ref_path": "refs/heads/main"}
    await world.federate(KIND, rule)


async def test_a_running_job_is_recognised_again_and_again(world: World, gitlab: GitLab) -> None:
    await ready(world, gitlab)
    job = gitlab.start()
    token = gitlab.token(job, US)

    await world.attest(KIND, token)
    await world.attest(KIND, token)
    seen = await world.attest(KIND, token)

    assert seen.lasting and seen.once == () and seen.unknown == ()
    assert seen.selectors["gitlab.job_id"] == job.job_id and seen.selectors["gitlab.runner_id"] == "12"
    assert "ada@example.org" not in seen.context.values()


@pytest.mark.parametrize("status", ["success", "failed", "canceled", "canceling", "skipped"])
async def test_a_finished_job_is_refused_though_its_token_has_not_expired(
    world: World, gitlab: GitLab, status: str
) -> None:
    await ready(world, gitlab)
    job = gitlab.start()
    token = gitlab.token(job, US)
    await world.attest(KIND, token)

    job.status = status

    with pytest.raises(Refused) as refusal:
        await world.attest(KIND, token)
    assert refusal.value.code == "job_finished"


async def test_an_erased_job_is_refused(world: World, gitlab: GitLab) -> None:
    await ready(world, gitlab)
    job = gitlab.start()
    del gitlab.jobs[job.job_id]

    with pytest.raises(Refused):
        await world.attest(KIND, gitlab.token(job, US))


@pytest.mark.parametrize("trouble", ["down", "another word", "a strange status"])
async def test_an_unclear_answer_is_no_end(world: World, gitlab: GitLab, trouble: str) -> None:
    await ready(world, gitlab)
    job = gitlab.start()
    match trouble:
        case "down":
            gitlab.api_down = True
        case "another word":
            gitlab.api_token = "rotated"
        case _:
            job.status = "waiting_for_godot"

    with pytest.raises(Unavailable) as refusal:
        await world.attest(KIND, gitlab.token(job, US))
    assert refusal.value.code == "platform_unavailable"


UNLIKE: list[tuple[str, dict[str, Any]]] = [
    ("another project", {"project_id": "278965"}),
    ("a number for a project that is text", {"project_id": 7}),
    ("another branch", {"ref_path": "refs/heads/dev"}),
    ("a tag of that name", {"ref_path": "refs/tags/main", "ref_type": "tag"}),
    ("no ref at all", {"ref_path": None}),
    ("a merge request", {"pipeline_source": "merge_request_event"}),
    ("no job", {"job_id": None}),
]


@pytest.mark.parametrize(("what", "change"), UNLIKE, ids=[what for what, _ in UNLIKE])
async def test_a_token_is_refused_for(
    world: World, gitlab: GitLab, what: str, change: dict[str, Any]
) -> None:
    await ready(world, gitlab)
    job = gitlab.start()

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, gitlab.issuer.sign({**gitlab.issuer.stamp(US), **job.claims(), **change}))


async def test_without_an_api_to_ask_its_evidence_does_not_last(world: World, gitlab: GitLab) -> None:
    await ready(world, gitlab)
    world.know(gitlab.issuer.url)

    assert not (await world.attest(KIND, gitlab.token(gitlab.start(), US))).lasting


def test_each_claim_of_a_job_stands_in_the_table_once() -> None:
    named = [*TABLE.required, *TABLE.pinned, *TABLE.optional, *TABLE.ignored]

    assert set(Job().claims()) <= set(named) and len(named) == len(set(named))
