"""Kubernetes: a pod is recognised while its cluster knows it."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn.core.errors import Refused, Unauthenticated, Unavailable
from tests.attestors.world import US, World
from tests.rig.issuers.kubernetes import Cluster, Pod

pytestmark = pytest.mark.anyio
KIND = "kubernetes"


async def ready(world: World, cluster: Cluster) -> Pod:
    pod = cluster.run()
    rule = {
        "issuer": cluster.issuer.url,
        "namespace": pod.namespace,
        "service_account": pod.account,
        "service_account_uid": pod.account_uid,
    }
    await world.federate(KIND, rule)
    return pod


async def test_a_pod_is_recognised_by_its_uids_and_its_image(world: World, cluster: Cluster) -> None:
    pod = await ready(world, cluster)

    seen = await world.attest(KIND, cluster.token(pod, US))

    assert seen.lasting and seen.unknown == ()
    assert seen.selectors["kubernetes.pod_uid"] == pod.uid
    assert seen.selectors["kubernetes.image"] == f"main={pod.image}"
    assert "kubernetes.image" in seen.pinned and "kubernetes.pod_uid" in seen.identity


async def test_the_job_that_made_a_pod_is_a_fact_and_not_pinned(world: World, cluster: Cluster) -> None:
    pod = await ready(world, cluster)
    pod.job_uid = "0b4d2f5c-0000-4000-8000-1234567890ab"

    seen = await world.attest(KIND, cluster.token(pod, US))

    assert seen.context["kubernetes.job_uid"] == pod.job_uid
    assert "kubernetes.job_uid" not in seen.pinned | seen.identity


async def test_its_token_is_reusable_by_design(world: World, cluster: Cluster) -> None:
    pod = await ready(world, cluster)
    token = cluster.token(pod, US)

    assert (await world.attest(KIND, token)).once == ()
    assert (await world.attest(KIND, token)).client.name == "deploy"


@pytest.mark.parametrize("gone", ["deleted", "succeeded", "failed", "replaced"])
async def test_a_pod_that_is_gone_is_refused_though_its_token_verifies(
    world: World, cluster: Cluster, gone: str
) -> None:
    pod = await ready(world, cluster)
    token = cluster.token(pod, US)
    await world.attest(KIND, token)
    match gone:
        case "deleted":
            pod.deleted = True
        case "replaced":
            cluster.run(Pod(name=pod.name))
        case _:
            pod.phase = gone.capitalize()

    with pytest.raises(Refused) as refusal:
        await world.attest(KIND, token)
    assert refusal.value.code == "job_finished"


async def test_a_cluster_that_is_down_ends_nothing(world: World, cluster: Cluster) -> None:
    pod = await ready(world, cluster)
    cluster.down = True

    with pytest.raises(Unavailable) as refusal:
        await world.attest(KIND, cluster.token(pod, US))
    assert refusal.value.code == "platform_unavailable"


async def test_a_server_that_may_not_look_at_pods_has_no_image(world: World, cluster: Cluster) -> None:
    pod = await ready(world, cluster)
    cluster.may_look_at_pods = False

    seen = await world.attest(KIND, cluster.token(pod, US))

    assert "kubernetes.image" not in seen.context and seen.lasting


async def test_without_an_api_a_deleted_pod_is_not_noticed_and_that_is_said(
    world: World, cluster: Cluster
) -> None:
    pod = await ready(world, cluster)
    world.know(cluster.issuer.url)
    pod.deleted = True

    assert not (await world.attest(KIND, cluster.token(pod, US))).lasting


UNLIKE: list[tuple[str, dict[str, Any]]] = [
    ("another namespace", {"namespace": "other"}),
    ("another account", {"account": "default"}),
    ("an account of that name made anew", {"account_uid": "00000000-0000-4000-8000-000000000000"}),
    ("no pod", {"uid": ""}),
]


@pytest.mark.parametrize(("what", "change"), UNLIKE, ids=[what for what, _ in UNLIKE])
async def test_a_token_is_refused_for(
    world: World, cluster: Cluster, what: str, change: dict[str, Any]
) -> None:
    await ready(world, cluster)

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, cluster.token(cluster.run(Pod(**change)), US))


async def test_a_token_for_the_cluster_itself_is_refused(world: World, cluster: Cluster) -> None:
    pod = await ready(world, cluster)

    with pytest.raises(Unauthenticated) as refusal:
        await world.attest(KIND, cluster.token(pod, "https://kubernetes.default.svc"))
    assert refusal.value.code == "wrong_audience"
