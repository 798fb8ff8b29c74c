"""Bound tokens of a simulated cluster: the suite, and what its ways to fail come to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Presence, Ref
from sojourn.providers.kubernetes_token import KubernetesToken
from sojourn.testing.provider_conformance import REMADE_SUITE, Rig
from tests.providers.http_rig import ShiftedClock, at_work, fresh_intent
from tests.rig.http_simulator import Trouble
from tests.rig.kubernetes import ADMIN, Kubernetes

pytestmark = pytest.mark.anyio
DEPLOYER: dict[str, object] = {"namespace": "jobs", "service_account": "deployer"}


@dataclass
class ClusterRig:
    """A workload that lists pods, and a look into the cluster."""

    cluster: Kubernetes
    provider: KubernetesToken
    clock: ShiftedClock
    line: httpx2.AsyncClient

    def intent(self, **more: object) -> Intent:
        return fresh_intent(self.clock, {**DEPLOYER, **more}, life=timedelta(minutes=30))

    async def can_log_in(self, issued: Issued) -> bool:
        told = {"Authorization": f"Bearer {issued.secret.reveal()}"}
        place = f"{self.cluster.base}/api/v1/namespaces/jobs/pods"
        return (await self.line.get(place, headers=told)).status_code == 200

    def at_work(self, issued: Issued, *, tasks: int, every: float) -> AbstractAsyncContextManager[None]:
        return at_work(self.can_log_in, issued, tasks=tasks, every=every)

    async def writes(self, handle: str) -> int:
        return len(self.cluster.used)

    async def last_write(self, handle: str) -> datetime | None:
        last = max((at for _, at in self.cluster.used), default=None)
        return None if last is None else datetime.fromtimestamp(last, UTC)

    async def target_now(self) -> datetime:
        return datetime.fromtimestamp(self.cluster.now(), UTC)

    async def survivors(self, target_id: str) -> int:
        living = [one for one in self.cluster.objects.values() if one["metadata"]["uid"] == target_id]
        tokens = [one for one in self.cluster.tokens.values() if one.uid == target_id]
        return len(living) + sum(1 for one in tokens if self.cluster.honoured(one.text))

    def ref(self, intent: Intent, issued: Issued) -> Ref:
        return Ref(intent.handle, issued.target_id, intent.expires_at, kept=issued.keep)


@asynccontextmanager
async def opened() -> AsyncIterator[ClusterRig]:
    clock = ShiftedClock()
    with Kubernetes() as cluster:
        settings = {"server": cluster.base, "namespaces": ["jobs"]}
        provider = KubernetesToken.configured(settings, {"deployer": DEPLOYER}, Secret(ADMIN), clock)
        async with httpx2.AsyncClient(trust_env=False) as line:
            yield ClusterRig(cluster, provider, clock, line)
        await provider.close()


@pytest.fixture
async def rig() -> AsyncIterator[ClusterRig]:
    async with opened() as one:
        yield one


@pytest.mark.parametrize("promise", REMADE_SUITE, ids=lambda one: one.__name__)
async def test_bound_tokens_keep_the_contract(
    rig: ClusterRig, promise: Callable[[Rig], Awaitable[None]]
) -> None:
    await promise(rig)


async def test_a_token_that_caches_still_take_is_present_until_reviews_refuse_it(rig: ClusterRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = rig.ref(intent, issued)
    rig.cluster.lag_s = 10
    await rig.provider.destroy(ref)

    cached = await rig.provider.observe(ref)
    rig.cluster.ahead_s = 11
    refused = await rig.provider.observe(ref)

    assert cached.presence is Presence.PRESENT and cached.method == "TokenReview"
    assert cached.lasting is not None and cached.lasting.until == intent.expires_at
    assert refused.presence is Presence.ABSENT


async def test_a_token_for_another_audience_is_reviewed_for_that_audience(rig: ClusterRig) -> None:
    intent = rig.intent(audiences=["https://vault"])
    issued = await rig.provider.issue(intent)
    ref = rig.ref(intent, issued)
    rig.cluster.lag_s = 10
    await rig.provider.destroy(ref)

    assert (await rig.provider.observe(ref)).presence is Presence.PRESENT


async def test_a_deletion_that_lies_is_found_out_by_looking(rig: ClusterRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    rig.cluster.trouble(Trouble.LIE, when=lambda asked: asked.method == "DELETE")

    await rig.provider.destroy(rig.ref(intent, issued))

    assert (await rig.provider.observe(rig.ref(intent, issued))).presence is Presence.PRESENT


async def test_a_stranger_of_that_name_is_left_alone(rig: ClusterRig) -> None:
    intent = rig.intent()
    name = intent.handle.replace("_", "-")
    rig.cluster.objects[name] = {"metadata": {"name": name, "uid": "theirs", "annotations": {}}}

    with pytest.raises(TargetError, match="handle_taken"):
        await rig.provider.issue(intent)
    await rig.provider.destroy(Ref(intent.handle, None))

    assert rig.cluster.objects[name]["metadata"]["uid"] == "theirs"
    assert (await rig.provider.observe(Ref(intent.handle, None))).presence is Presence.ABSENT


async def test_a_session_shorter_than_the_shortest_token_is_refused_not_rounded(rig: ClusterRig) -> None:
    intent = replace(rig.intent(), expires_at=rig.clock.now() + timedelta(minutes=9))

    with pytest.raises(TargetError, match="too_short") as caught:
        await rig.provider.issue(intent)

    assert not caught.value.sent and not rig.cluster.asked


async def test_preflight_mints_a_canary_and_leaves_nothing(rig: ClusterRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
    assert not rig.cluster.objects


async def test_preflight_names_what_the_admin_lacks(rig: ClusterRig) -> None:
    settings = {"server": rig.cluster.base, "namespaces": ["jobs"]}
    provider = KubernetesToken.configured(settings, {"deployer": DEPLOYER}, Secret("no-admin"), rig.clock)

    checks = await provider.preflight("sj_test_")
    await provider.close()

    assert not checks[0].ok and "admin_login_refused" in checks[0].detail and checks[0].mend


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"namespace": "kube-system", "service_account": "deployer"},
        {"namespace": "jobs", "service_account": "../x"},
        {"namespace": "jobs", "service_account": "Deployer"},
        {"namespace": "jobs", "service_account": "deployer", "audiences": ["a b"]},
        {"namespace": "jobs", "service_account": "deployer", "expirationSeconds": 1},
    ],
)
async def test_a_template_of_elsewhere_is_refused(rig: ClusterRig, template: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="bad_template"):
        rig.provider.check_template(template)


async def test_standing_tokens_are_listed_page_by_page_without_what_they_hold(rig: ClusterRig) -> None:
    for number in range(5):
        rig.cluster.objects[f"old-{number}"] = {
            "type": "kubernetes.io/service-account-token",
            "metadata": {
                "name": f"old-{number}",
                "namespace": "jobs",
                "uid": str(number),
                "annotations": {"kubernetes.io/service-account.name": "deployer"},
                "creationTimestamp": "2024-01-01T00:00:00Z",
            },
        }
    issued = await rig.provider.issue(rig.intent())

    found = await rig.provider.standing("sj_test_")
    ours = await rig.provider.inventory("sj_test_")

    assert sorted(one.name for one in found) == [f"old-{number}" for number in range(5)]
    assert found[0].owner_guess == "deployer" and found[0].created_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert [one.target_id for one in ours or ()] == [issued.target_id]
    listings = [one for one in rig.cluster.asked if one.method == "GET" and one.path[-1] == "secrets"]
    assert listings and all("PartialObjectMetadataList" in one.headers["accept"] for one in listings)
