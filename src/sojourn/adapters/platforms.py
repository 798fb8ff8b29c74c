"""Asks clusters and forges whether what they once vouched for still runs (`ports.foreign_tokens`).

Only a clear answer counts: "gone" ends a session, anything unclear is `platform_unavailable` and
ends nothing, so that a platform that is down takes nobody's access by lying and nobody keeps it
by silence (the beat is then missed).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

from sojourn.adapters.outbound import Ask, Fetched, fetch
from sojourn.core.errors import Refused, Unavailable
from sojourn.ports.issuers import Federation, IssuerPlace

_REVIEW: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_EXTRA: Final = "authentication.kubernetes.io/"
_ACCOUNT: Final = "system:serviceaccount:"
_OVER: Final = frozenset({"Succeeded", "Failed"})
_RUNNING: Final = frozenset({"running", "preparing"})
_FINISHED: Final = frozenset({"success", "failed", "canceled", "canceling", "skipped"})
_LONGEST_FACT: Final = 256

Fetch = Callable[[Ask], Awaitable[Fetched]]
Json = Mapping[str, object]


class AskedPlatforms:
    """Asks over HTTPS, with a credential read from its file each time: clusters rotate theirs."""

    def __init__(self, federation: Federation, *, fetch: Fetch = fetch) -> None:
        self._federation, self._fetch = federation, fetch

    def asks(self, issuer: str) -> bool:
        """Whether the server's file says where to ask."""
        place = self._federation.issuers.get(issuer)
        return place is not None and place.api is not None

    async def review(self, issuer: str, token: str, audience: str) -> Mapping[str, str]:
        """What the cluster says of the token's account and pod, by fact name."""
        place = self._place(issuer)
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        answer = await self._ask(place, _REVIEW, body=json.dumps(asked).encode())
        if answer.status not in (200, 201):
            raise _unclear(f"a TokenReview was answered with status {answer.status}")
        status = _member(_object(answer), "status")
        if status.get("authenticated") is not True:
            raise Refused("job_finished", "the cluster does not know the token any more")
        if audience not in _listed(status, "audiences"):
            raise _unclear("the cluster did not say that it looked at the audience")
        facts = _reviewed(_member(status, "user"))
        return {**facts, **await self._pod(place, facts)}

    async def require_running(self, issuer: str, project: str, job: str) -> None:
        """Ask the forge for the job's status."""
        path = f"/projects/{quote(project, safe='')}/jobs/{quote(job, safe='')}"
        answer = await self._ask(self._place(issuer), path)
        if answer.status == 404:
            raise Refused("job_finished", f"the forge knows no job `{job[:20]}`")
        if answer.status != 200:
            raise _unclear(f"the forge answered with status {answer.status}")
        status = _object(answer).get("status")
        if status in _FINISHED:
            raise Refused("job_finished", f"the job is `{status}`")
        if status not in _RUNNING:
            raise _unclear("the forge did not say whether the job runs")

    async def _pod(self, place: IssuerPlace, facts: Mapping[str, str]) -> Mapping[str, str]:
        """The images of the pod, if the server may look at pods; a pod that is over is no pod."""
        namespace, name = facts.get("kubernetes.namespace"), facts.get("kubernetes.pod")
        if not namespace or not name:
            return {}
        answer = await self._ask(place, f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}")
        if answer.status == 403:
            return {}
        if answer.status == 404:
            raise Refused("job_finished", "the pod is gone")
        if answer.status != 200:
            raise _unclear(f"the pod was answered with status {answer.status}")
        pod = _object(answer)
        if _member(pod, "metadata").get("uid") != facts.get("kubernetes.pod_uid"):
            raise Refused("job_finished", "another pod has taken the name")
        if (phase := _member(pod, "status").get("phase")) in _OVER:
            raise Refused("job_finished", f"the pod has `{phase}`")
        images = _images(_listed(_member(pod, "spec"), "containers"))
        seen = {"kubernetes.image": images[:_LONGEST_FACT]} if images else {}
        job = _job_of(_listed(_member(pod, "metadata"), "ownerReferences"))
        return {**seen, **({"kubernetes.job_uid": job} if job else {})}

    async def _ask(self, place: IssuerPlace, path: str, *, body: bytes | None = None) -> Fetched:
        secret = _read(place.api_token)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        ask = Ask(
            f"{place.api}{path}", place.reach, "GET" if body is None else "POST", headers=headers, body=body
        )
        try:
            return await self._fetch(ask)
        except Unavailable as error:
            raise _unclear(error.message) from error

    def _place(self, issuer: str) -> IssuerPlace:
        return self._federation.issuers[issuer]


def _reviewed(user: Json) -> dict[str, str]:
    parts = str(user.get("username")).removeprefix(_ACCOUNT).split(":")
    if not str(user.get("username")).startswith(_ACCOUNT) or len(parts) != 2:
        raise _unclear("the token is no service account's")
    facts = {"kubernetes.namespace": parts[0], "kubernetes.service_account": parts[1]}
    facts["kubernetes.service_account_uid"] = str(user.get("uid"))
    extra = user.get("extra")
    for name in ("pod", "pod_uid", "node", "node_uid"):
        key = _EXTRA + (name.replace("_", "-") if "_" in name else f"{name}-name")
        said = extra.get(key) if isinstance(extra, dict) else None
        if isinstance(said, list) and len(said) == 1:
            facts[f"kubernetes.{name}"] = str(said[0])
    return facts


def _job_of(owners: list[object]) -> str | None:
    """The uid of the Job that made the pod, if one did."""
    for one in owners:
        if isinstance(one, dict) and one.get("controller") is True and one.get("kind") == "Job":
            group, uid = str(one.get("apiVersion")).partition("/")[0], one.get("uid")
            if group == "batch" and isinstance(uid, str) and 0 < len(uid) <= _LONGEST_FACT:
                return uid
    return None


def _images(containers: list[object]) -> str:
    named = [(str(c.get("name")), str(c.get("image"))) for c in containers if isinstance(c, dict)]
    return ",".join(f"{name}={image}" for name, image in sorted(named))


def _object(answer: Fetched) -> Json:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise _unclear("what was answered is not JSON") from error
    if not isinstance(found, dict):
        raise _unclear("what was answered is no JSON object")
    return cast("Json", found)


def _member(value: Json, name: str) -> Json:
    found = value.get(name)
    if not isinstance(found, dict):
        raise _unclear(f"the answer has no `{name}`")
    return cast("Json", found)


def _listed(value: Json, name: str) -> list[object]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _read(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unclear("the credential for asking cannot be read") from error


def _unclear(why: str) -> Unavailable:
    return Unavailable("platform_unavailable", f"the platform cannot be asked: {why}")
