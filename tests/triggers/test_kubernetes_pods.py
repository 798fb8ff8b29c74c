"""Pods and Jobs that end while they are watched, and while they are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sojourn.core.errors import Unavailable
from sojourn.core.secret import Secret
from sojourn.ports.trigger import Signal, WatchTrigger
from sojourn.triggers._kubernetes import KubernetesWatch
from sojourn.triggers.kubernetes_jobs import KubernetesJobs
from sojourn.triggers.kubernetes_pods import KubernetesPods

pytestmark = pytest.mark.anyio
TOKEN = Secret("service-account-token")


def pod(uid: str, phase: str = "Running") -> dict[str, object]:
    return {"metadata": {"uid": uid}, "status": {"phase": phase}}


@dataclass
class Cluster:
    """As much of an API server as a watch of Pods asks for: lists in pages, then a stream of lines."""

    pods: list[dict[str, object]] = field(default_factory=list)
    events: list[object] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    port: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            target = head.split(" ")[1]
            self.seen.append(target)
            if f"Bearer {TOKEN.reveal()}" not in head:
                writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            elif "watch=1" in target:
                lines = "".join(json.dumps(one) + "\n" for one in self.events)
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + lines.encode())
                break
            else:
                first, rest = (self.pods[:1], self.pods[1:])
                more = bool(rest) and "continue=" not in target
                meta = {"resourceVersion": "7", **({"continue": "next"} if more else {})}
                page = {"metadata": meta, "items": first if more else rest or self.pods}
                body = json.dumps(page).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[dict[str, str]]:
    server = await asyncio.start_server(cluster.answer, "127.0.0.1", 0)
    cluster.port = server.sockets[0].getsockname()[1]
    try:
        yield {"server": f"http://127.0.0.1:{cluster.port}", "namespace": "ci"}
    finally:
        server.close()


async def heard(trigger: KubernetesWatch, settings: dict[str, str], secret: Secret = TOKEN) -> list[Signal]:
    return [one async for signals in trigger.watch(settings, secret) for one in signals]


async def test_pods_that_end_are_named_by_their_uid_and_nothing_else_is() -> None:
    cluster = Cluster([pod("a"), pod("done", "Succeeded"), pod("b")])
    cluster.events = [
        {"type": "MODIFIED", "object": pod("a", "Failed")},
        {"type": "MODIFIED", "object": {**pod("b"), "metadata": {"uid": "b", "deletionTimestamp": "now"}}},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
        {"type": "DELETED", "object": pod("b")},
    ]
    async with running(cluster) as settings:
        signals = await heard(KubernetesPods(), settings)

    found = [(one.match["kubernetes.pod_uid"], one.detail) for one in signals]
    assert found == [("done", "pod succeeded"), ("a", "pod failed"), ("b", "pod deleted")]
    assert all(target.startswith("/api/v1/namespaces/ci/pods?") for target in cluster.seen)
    assert "resourceVersion=7" in cluster.seen[-1]


async def test_a_pod_that_went_while_nobody_watched_is_over_too() -> None:
    cluster, trigger = Cluster([pod("a"), pod("b")]), KubernetesPods()
    async with running(cluster) as settings:
        assert await heard(trigger, settings) == []
        cluster.pods = [pod("b")]
        (signal,) = await heard(trigger, settings)

    assert signal.match == {"kubernetes.pod_uid": "a"}
    assert isinstance(trigger, WatchTrigger)


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "ERROR", "object": {"code": 410}}],
        ["text"],
        [{"type": "MODIFIED", "object": {"metadata": {"uid": 1}}}],
        [{"type": "MODIFIED", "object": []}],
    ],
)
async def test_a_watch_that_makes_no_sense_is_begun_again_and_ends_nothing(events: list[object]) -> None:
    cluster = Cluster([pod("a")], events)
    async with running(cluster) as settings:
        with pytest.raises(Unavailable, match="watch_lost"):
            await heard(KubernetesPods(), settings)


async def test_a_refused_token_or_a_dead_server_ends_nothing() -> None:
    async with running(Cluster([pod("a")])) as settings:
        with pytest.raises(Unavailable, match="watch_lost"):
            await heard(KubernetesPods(), settings, Secret("another"))
    with pytest.raises(Unavailable, match="watch_lost"):
        await heard(KubernetesPods(), settings)


def job(uid: str, **conditions: str) -> dict[str, object]:
    said = [{"type": name, "status": status} for name, status in conditions.items()]
    return {"metadata": {"uid": uid}, "status": {"conditions": said} if said else {}}


async def test_a_job_is_over_when_it_is_complete_or_failed_and_not_when_it_only_means_to() -> None:
    cluster = Cluster([job("a"), job("done", SuccessCriteriaMet="True", Complete="True")])
    cluster.events = [
        {"type": "MODIFIED", "object": job("a", Suspended="True")},
        {"type": "MODIFIED", "object": job("a", FailureTarget="True")},
        {"type": "MODIFIED", "object": job("a", Failed="False")},
        {"type": "ADDED", "object": job("b")},
        {"type": "MODIFIED", "object": job("a", FailureTarget="True", Failed="True")},
        {"type": "DELETED", "object": job("b")},
    ]
    async with running(cluster) as settings:
        signals = await heard(KubernetesJobs(), settings)

    found = [(one.match["kubernetes.job_uid"], one.detail) for one in signals]
    assert found == [("done", "job complete"), ("a", "job failed"), ("b", "job deleted")]
    assert all(target.startswith("/apis/batch/v1/namespaces/ci/jobs?") for target in cluster.seen)


async def test_a_job_whose_status_makes_no_sense_ends_nothing() -> None:
    cluster = Cluster(
        [job("a")], [{"type": "MODIFIED", "object": {**job("a"), "status": {"conditions": "x"}}}]
    )
    async with running(cluster) as settings:
        with pytest.raises(Unavailable, match="watch_lost"):
            await heard(KubernetesJobs(), settings)
