"""The part of a Kubernetes API server that bound tokens need, with its cache of tokens."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tests.rig.http_simulator import Asked, Said, Simulator, said

ADMIN: Final = "admin-token-of-the-tests"
ACCOUNTS: Final = ("deployer",)
API_AUDIENCE: Final = "https://kubernetes.default.svc"
_SHORTEST_S: Final = 600


@dataclass
class Bound:
    """One token, what it is bound to, and until when."""

    text: str
    uid: str
    audiences: list[str]
    ends_at: float


class Kubernetes(Simulator):
    """One namespace, `work`; `lag_s` is how long a token outlives its Secret in caches."""

    lie = said(200, {"kind": "Status", "status": "Success"})

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[str, Any]] = {}
        self.deleted_at: dict[str, float] = {}
        self.tokens: dict[str, Bound] = {}
        self.used: list[tuple[str, float]] = []

    def answer(self, asked: Asked) -> Said:
        """Route by method and path."""
        match asked.method, asked.path:
            case "GET", ("api", "v1", "namespaces", "jobs", "pods"):
                return self._list_pods(asked.bearer)
            case _ if asked.bearer != ADMIN:
                return _status(401, "Unauthorized")
            case "POST", ("api", "v1", "namespaces", "jobs", "secrets"):
                return self._create(asked.json())
            case "GET", ("api", "v1", "namespaces", "jobs", "secrets"):
                return self._list(asked)
            case method, ("api", "v1", "namespaces", "jobs", "secrets", name):
                return self._one(method, name, asked)
            case "POST", ("api", "v1", "namespaces", "jobs", "serviceaccounts", account, "token"):
                return self._mint(account, asked.json())
            case "POST", ("apis", "authentication.k8s.io", "v1", "tokenreviews"):
                return self._review(asked.json())
            case _:
                return _status(404, "NotFound")

    def honoured(self, text: str, audience: str = API_AUDIENCE) -> Bound | None:
        """The token of that text, while it is taken."""
        token = self.tokens.get(text)
        if token is None or self.now() >= token.ends_at or audience not in token.audiences:
            return None
        gone = self.deleted_at.get(token.uid)
        return None if gone is not None and self.now() >= gone + self.lag_s else token

    def _list(self, asked: Asked) -> Said:
        """Secrets by label or by type, whole or as metadata, two a page."""
        wanted = [one for one in self.objects.values() if _chosen(one, asked.query)]
        if "PartialObjectMetadataList" in asked.headers.get("accept", ""):
            wanted = [{"metadata": one["metadata"]} for one in wanted]
        at = int(asked.query.get("continue", "0"))
        more = {"continue": str(at + 2)} if at + 2 < len(wanted) else {}
        return said(200, {"metadata": more, "items": wanted[at : at + 2]})

    def _list_pods(self, text: str) -> Said:
        token = self.honoured(text)
        if token is None:
            return _status(401, "Unauthorized")
        self.used.append((token.uid, self.now()))
        return said(200, {"items": []})

    def _create(self, wish: dict[str, Any]) -> Said:
        name = wish["metadata"]["name"]
        if name in self.objects:
            return _status(409, "AlreadyExists")
        if "_" in name:
            return _status(422, "Invalid")
        made = {"uid": str(uuid.uuid4()), "creationTimestamp": _show(self.now())}
        self.objects[name] = {**wish, "metadata": {**wish["metadata"], **made}}
        return said(201, self.objects[name])

    def _one(self, method: str, name: str, asked: Asked) -> Said:
        found = self.objects.get(name)
        if found is None:
            return _status(404, "NotFound")
        if method == "GET":
            return said(200, found)
        uid = found["metadata"]["uid"]
        conditions: Any = asked.json().get("preconditions") or {}
        if conditions.get("uid", uid) != uid:
            return _status(409, "Conflict")
        del self.objects[name]
        self.deleted_at[uid] = self.now()
        return said(200, {"kind": "Status", "status": "Success"})

    def _mint(self, account: str, wish: dict[str, Any]) -> Said:
        spec = wish["spec"]
        bound = spec["boundObjectRef"]
        found = self.objects.get(bound["name"])
        if account not in ACCOUNTS or found is None:
            return _status(404, "NotFound")
        if found["metadata"]["uid"] != bound["uid"]:
            return _status(409, "Conflict")
        if spec["expirationSeconds"] < _SHORTEST_S:
            return _status(422, "Invalid")
        audiences = spec["audiences"] or [API_AUDIENCE]
        claims = base64.urlsafe_b64encode(json.dumps({"aud": audiences}).encode()).rstrip(b"=").decode()
        token = Bound(
            f"e30.{claims}.{secrets.token_hex(16)}",
            bound["uid"],
            audiences,
            self.now() + spec["expirationSeconds"],
        )
        self.tokens[token.text] = token
        return said(201, {"status": {"token": token.text, "expirationTimestamp": _show(token.ends_at)}})

    def _review(self, wish: dict[str, Any]) -> Said:
        wanted = wish["spec"].get("audiences") or [API_AUDIENCE]
        text = wish["spec"]["token"]
        if any(self.honoured(text, audience) for audience in wanted):
            return said(201, {"status": {"authenticated": True, "user": {"username": "system:x"}}})
        return said(201, {"status": {"user": {}, "error": "[invalid bearer token]"}})


def _chosen(secret: dict[str, Any], query: Mapping[str, str]) -> bool:
    label, _, value = query.get("labelSelector", "").partition("=")
    labelled = not label or secret["metadata"].get("labels", {}).get(label) == value
    kind = query.get("fieldSelector", "").removeprefix("type=")
    return labelled and (not kind or secret.get("type") == kind)


def _status(code: int, reason: str) -> Said:
    return said(code, {"kind": "Status", "status": "Failure", "reason": reason, "code": code})


def _show(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
