"""A cluster: projected tokens, TokenReview that notices deleted pods, and the pods themselves.

A token of a deleted pod still verifies by the published keys; only the review says no.
"""

from __future__ import annotations

import json
import secrets
import ssl
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.rig.issuers.issuer import Answer, Call, Issuer, as_json

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_EXTRA = "authentication.kubernetes.io"


@dataclass
class Pod:
    """A pod of a service account."""

    namespace: str = "shop"
    name: str = field(default_factory=lambda: f"migrate-{secrets.token_hex(3)}")
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    account: str = "migrator"
    account_uid: str = "8a1c2b3d-0000-4000-8000-1234567890ab"
    node_uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    image: str = "registry.example/migrate@sha256:" + "1" * 64
    phase: str = "Running"
    deleted: bool = False
    job_uid: str | None = None  # of the Job that made it
    more: dict[str, Any] = field(default_factory=dict)

    def claims(self) -> dict[str, Any]:
        """The private claims of its token."""
        bound = {
            "namespace": self.namespace,
            "node": {"name": "node-1", "uid": self.node_uid},
            "pod": {"name": self.name, "uid": self.uid},
            "serviceaccount": {"name": self.account, "uid": self.account_uid},
            "warnafter": 1_900_000_000,
        }
        subject = f"system:serviceaccount:{self.namespace}:{self.account}"
        return {"sub": subject, "jti": str(uuid.uuid4()), "kubernetes.io": bound, **self.more}


class Cluster:
    """The API server, which is the issuer too."""

    def __init__(self, context: ssl.SSLContext, *, may_look_at_pods: bool = True) -> None:
        self.issuer = Issuer(context)
        self.api = self.issuer.url
        self.api_token = secrets.token_urlsafe(20)
        self.may_look_at_pods = may_look_at_pods
        self.down = False
        self._tokens: dict[str, tuple[Pod, str]] = {}
        self._pods: dict[str, Pod] = {}
        self.issuer.server.routes[REVIEWS] = self._review

    def run(self, pod: Pod | None = None) -> Pod:
        """Start a pod."""
        started = pod or Pod()
        path = f"/api/v1/namespaces/{started.namespace}/pods/{started.name}"
        self._pods[path] = started
        self.issuer.server.routes[path] = self._pod
        return started

    def token(self, pod: Pod, audience: str) -> str:
        """What the kubelet projects into the pod."""
        claims = self.issuer.stamp(audience, life_s=3600)
        token = self.issuer.sign({**claims, "aud": [audience], **pod.claims()})
        self._tokens[token] = (pod, audience)
        return token

    def _known(self, call: Call) -> bool:
        return call.headers.get("authorization") == f"Bearer {self.api_token}"

    def _review(self, call: Call) -> Answer:
        if self.down:
            return 503, {}, b""
        if not self._known(call):
            return as_json({"kind": "Status", "code": 401}, 401)
        spec = json.loads(call.body)["spec"]
        pod, audience = self._tokens.get(spec["token"], (None, ""))
        if pod is None or pod.deleted or audience not in spec["audiences"]:
            status: dict[str, Any] = {"error": "[invalid bearer token, pod has been deleted]", "user": {}}
            return as_json({"kind": "TokenReview", "status": status}, 201)
        extra = {
            f"{_EXTRA}/pod-name": [pod.name],
            f"{_EXTRA}/pod-uid": [pod.uid],
            f"{_EXTRA}/node-name": ["node-1"],
            f"{_EXTRA}/node-uid": [pod.node_uid],
        }
        user = {
            "username": f"system:serviceaccount:{pod.namespace}:{pod.account}",
            "uid": pod.account_uid,
            "groups": ["system:serviceaccounts"],
            "extra": extra,
        }
        status = {"authenticated": True, "user": user, "audiences": [audience]}
        return as_json({"kind": "TokenReview", "status": status}, 201)

    def _pod(self, call: Call) -> Answer:
        if self.down:
            return 503, {}, b""
        pod = self._pods.get(call.path)
        if not self._known(call) or not self.may_look_at_pods:
            return as_json({"kind": "Status", "code": 403}, 403)
        if pod is None or pod.deleted:
            return as_json({"kind": "Status", "code": 404}, 404)
        return as_json(
            {
                "metadata": {
                    "name": pod.name,
                    "namespace": pod.namespace,
                    "uid": pod.uid,
                    "ownerReferences": _owners(pod),
                },
                "spec": {"containers": [{"name": "main", "image": pod.image}]},
                "status": {"phase": pod.phase},
            }
        )

    def close(self) -> None:
        """Stop."""
        self.issuer.close()


def _owners(pod: Pod) -> list[dict[str, object]]:
    """As an API server says who made a pod; a strange owner comes first."""
    if pod.job_uid is None:
        return []
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "migrate", "uid": pod.job_uid}
    return [{**job, "apiVersion": "example.com/v1", "uid": "strange"}, {**job, "controller": True}]
