"""The provider for Kubernetes: a service-account token bound to a Secret that we make and delete.

The API server refuses a token whose bound object is gone, and mints none for an object that is
gone: the Secret, which holds nothing, is switch and issue fence in one (Kubernetes API,
TokenRequest `boundObjectRef`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Final

import msgspec

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import (
    Check,
    Found,
    Intent,
    Issued,
    Lasting,
    Observation,
    Presence,
    Ref,
    RevocationClass,
)
from sojourn.providers._canary import Canary
from sojourn.providers._common.reading import read_settings, read_template
from sojourn.providers._http import Answer, HttpApi, instant_in, path, require_time, texts, within

METHOD_SECONDS: Final = 9.0
PROBES: Final = 3
SHORTEST: Final = timedelta(minutes=10)  # the API server refuses less
_PAGES: Final = 50
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_HANDLE: Final = re.compile(r"[a-z][a-z0-9_]{0,100}[a-z0-9]")
_AUDIENCE: Final = re.compile(r"[\x21-\x7e]{1,256}")
_LABEL: Final = "app.kubernetes.io/managed-by"
_OURS: Final = "sojourn"
_FOR_EVER: Final = "kubernetes.io/service-account-token"
_METADATA: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_HANDLE_NOTE: Final = "sojourn.dev/handle"
_PLACE: Final = "the cluster's API servers, until the token expires"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One cluster, and the namespaces in which tokens may be made."""

    server: str
    namespaces: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=64)]
    ca_file: str | None = None
    client_server: str | None = None  # where workloads connect, if not where the admin does


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose token, and for whom; without audiences it is for the API server."""

    namespace: str
    service_account: str
    audiences: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)] = ()


class _Bound(msgspec.Struct, frozen=True):
    """A Secret of ours, as the cluster has it."""

    namespace: str
    name: str
    uid: str


class KubernetesToken:
    """Mints bound tokens, and deletes what they are bound to."""

    def __init__(
        self,
        settings: Settings,
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._secret = secret
        self._clock = clock
        self._http = HttpApi(settings.server, ca_file=settings.ca_file)

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> KubernetesToken:
        """The provider of one cluster; `secret` is the admin's bearer token.

        Raises:
            Invalid: code `bad_target`.
        """
        read = read_settings(settings, Settings)
        for name in read.namespaces:
            if not _NAME.fullmatch(name):
                raise Invalid("bad_target", f"`namespaces`: `{name[:60]}` is no name")
        if not _AUDIENCE.match(secret.reveal()) or "\n" in secret.reveal():
            raise Invalid("bad_target", "the secret must be a bearer token")
        return cls(read, templates, secret, clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """C: new requests are refused once caches have heard; a watch that is open goes on."""
        return RevocationClass.C

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template of another namespace, or one that names no service account.

        Raises:
            Invalid: code `bad_template`.
        """
        self._template(template)

    async def issue(self, intent: Intent) -> Issued:
        """Make the Secret, then have a token minted that is bound to it."""
        async with within("issue", METHOD_SECONDS):
            wish = self._template(intent.template)
            name = _name_of(intent.handle)
            seconds = int((intent.expires_at - self._clock.now()).total_seconds())
            if seconds < SHORTEST.total_seconds():
                text = f"the shortest life of a token is {SHORTEST}, and the session ends sooner"
                raise TargetError("too_short", text, sent=False)
            require_time(intent, self._clock.now())
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "Opaque",
                "metadata": {
                    "name": name,
                    "labels": {_LABEL: _OURS},
                    "annotations": {_HANDLE_NOTE: intent.handle},
                },
            }
            answer = await self._ask("POST", _secrets(wish.namespace), (201,), "issue", body=body)
            (uid,) = texts(_object(answer.members(), "metadata"), ("uid",))
            require_time(intent, self._clock.now())
            return await self._mint(wish, _Bound(wish.namespace, name, uid), seconds)

    async def locate(self, handle: str) -> str | None:
        """The UID of the Secret of ours with that name."""
        async with within("locate", METHOD_SECONDS):
            bound = await self._find(handle)
        return bound.uid if bound else None

    async def freeze(self, ref: Ref) -> None:
        """Delete the Secret: there is no pause; `thaw` makes another."""
        await self.destroy(ref)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Make another Secret of that name, and a token bound to it."""
        if ref.target_id is None:
            raise TargetError("missing_object", "there was no token", sent=False)
        return await self.issue(intent)

    async def destroy(self, ref: Ref) -> None:
        """Delete the Secret of ours with that name, and no other that took the name meanwhile."""
        async with within("destroy", METHOD_SECONDS):
            bound = await self._find(ref.handle)
            if bound is None:
                return
            body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": bound.uid}}
            place = path(*_segments(bound.namespace), bound.name)
            await self._ask("DELETE", place, (200, 202, 404), "destroy", body=body)

    async def observe(self, ref: Ref) -> Observation:
        """Look for the Secret; then have the cluster review the token until it is refused."""
        async with within("observe", METHOD_SECONDS):
            lasting = None if ref.expires_at is None else Lasting(_PLACE, ref.expires_at)
            if await self._find(ref.handle) is not None:
                return Observation(Presence.PRESENT, "the bound Secret by name", {"login": 1}, lasting)
            if ref.kept is None:
                return Observation(Presence.ABSENT, "no bound Secret; its token was never received")
            for _ in range(PROBES):
                if await self._honours(ref.kept):
                    return Observation(Presence.PRESENT, "TokenReview", {"login": 1}, lasting)
        return Observation(Presence.ABSENT, f"no bound Secret, {PROBES} TokenReviews that refuse")

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every Secret of ours in the target's namespaces whose handle begins with `prefix`."""
        async with within("inventory", METHOD_SECONDS):
            ours = {"labelSelector": f"{_LABEL}={_OURS}"}
            found = [_found(one) async for one in self._listed(ours)]
            return [one for one in found if one is not None and one.handle.startswith(prefix)]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Secrets that hold a service account's token for ever, in the target's namespaces."""
        async with within("standing", METHOD_SECONDS):
            chosen = {"fieldSelector": f"type={_FOR_EVER}"}
            return [self._standing(one) async for one in self._listed(chosen)]

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Mint a canary by the first template, have it reviewed, delete its Secret, and again."""
        return await Canary(self, self._clock, self._is_honoured).run(prefix, self._templates)

    async def close(self) -> None:
        """Close the connections to the API server."""
        await self._http.close()

    # -- the calls ---------------------------------------------------------------------
    async def _mint(self, wish: Template, bound: _Bound, seconds: int) -> Issued:
        spec: dict[str, object] = {
            "audiences": list(wish.audiences),
            "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": bound.name, "uid": bound.uid},
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        accounts = ("api", "v1", "namespaces", wish.namespace, "serviceaccounts")
        place = path(*accounts, wish.service_account, "token")
        answer = await self._ask("POST", place, (200, 201), "issue", body=body)
        token, expiry = texts(_object(answer.members(), "status"), ("token", "expirationTimestamp"))
        if instant_in(expiry) > self._clock.now() + timedelta(seconds=seconds + 60):
            raise TargetError("too_long", "the cluster lets tokens live for longer than was asked for")
        told = {"server": self._settings.client_server or self._settings.server, "namespace": wish.namespace}
        secret = Secret(token)
        return Issued(bound.uid, told, secret, keep=secret)

    async def _find(self, handle: str) -> _Bound | None:
        for namespace in self._settings.namespaces:
            place = path(*_segments(namespace), _name_of(handle))
            answer = await self._ask("GET", place, (200, 404), "look")
            bound = None if answer.status == 404 else _ours(answer.members(), handle, namespace)
            if bound is not None:
                return bound
        return None

    async def _listed(self, query: Mapping[str, str]) -> AsyncIterator[Mapping[str, object]]:
        """The metadata of Secrets that a query chooses; what they hold is not asked for."""
        for namespace in self._settings.namespaces:
            asked = {**query, "limit": "500"}
            for _ in range(_PAGES):
                place = _secrets(namespace)
                answer = await self._ask("GET", place, (200,), "inventory", query=asked, accept=_METADATA)
                listed = answer.members()
                items = listed.get("items")
                for item in items if isinstance(items, list) else []:
                    if isinstance(item, dict):
                        yield _object(item, "metadata")
                following = _object(listed, "metadata").get("continue")
                if not isinstance(following, str) or not following:
                    break
                asked["continue"] = following

    async def _honours(self, token: Secret) -> bool:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.reveal(), "audiences": _audiences_in(token)},
        }
        place = path("apis", "authentication.k8s.io", "v1", "tokenreviews")
        answer = await self._ask("POST", place, (200, 201), "review", body=body)
        status = _object(answer.members(), "status")
        return status.get("authenticated") is True

    async def _is_honoured(self, handle: str, issued: Issued) -> bool:
        return await self._honours(issued.secret)

    async def _ask(
        self,
        method: str,
        place: str,
        wanted: Sequence[int],
        verb: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self._secret.reveal()}", "Accept": accept}
        return await self._http.ask(method, place, wanted, verb, query=query, body=body, headers=headers)

    def _standing(self, metadata: Mapping[str, object]) -> Standing:
        name, namespace = texts(metadata, ("name", "namespace"))
        notes, made = metadata.get("annotations"), metadata.get("creationTimestamp")
        account = notes.get("kubernetes.io/service-account.name") if isinstance(notes, dict) else None
        return Standing(
            kind="kubernetes_token_secret",
            place=f"{self._settings.server}/{namespace}",
            name=name,
            created_at=instant_in(made) if isinstance(made, str) else None,
            owner_guess=account if isinstance(account, str) else None,
            grants={"cluster": {"target": "CHANGE-ME-kubernetes", "template": "deployer"}},
        )

    def _template(self, raw: Mapping[str, object]) -> Template:
        read = read_template(raw, Template)
        if read.namespace not in self._settings.namespaces:
            allowed = list(self._settings.namespaces)
            raise Invalid(
                "bad_template", f"`namespace` must be one of {allowed}, got `{read.namespace[:60]}`"
            )
        if not _NAME.fullmatch(read.service_account):
            raise Invalid("bad_template", f"`service_account`: `{read.service_account[:60]}` is no name")
        for audience in read.audiences:
            if not _AUDIENCE.fullmatch(audience):
                raise Invalid("bad_template", f"`audiences`: `{audience[:60]}` is no audience")
        return read


def _ours(found: Mapping[str, object], handle: str, namespace: str) -> _Bound | None:
    """The Secret, if it is one that we made under that handle."""
    metadata = _object(found, "metadata")
    name, uid = texts(metadata, ("name", "uid"))
    notes = metadata.get("annotations")
    mine = isinstance(notes, dict) and notes.get(_HANDLE_NOTE) == handle
    return _Bound(namespace, name, uid) if mine else None


def _found(metadata: Mapping[str, object]) -> Found | None:
    notes, uid, made = metadata.get("annotations"), metadata.get("uid"), metadata.get("creationTimestamp")
    handle = notes.get(_HANDLE_NOTE) if isinstance(notes, dict) else None
    if not isinstance(handle, str) or not isinstance(uid, str):
        return None
    return Found(handle, uid, instant_in(made) if isinstance(made, str) else None)


def _name_of(handle: str) -> str:
    """The Secret's name: a handle has no hyphen, and a name in Kubernetes no underscore."""
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", "expected lower-case letters, digits and `_`")
    return handle.replace("_", "-")


def _segments(namespace: str) -> tuple[str, ...]:
    return ("api", "v1", "namespaces", namespace, "secrets")


def _secrets(namespace: str) -> str:
    return path(*_segments(namespace))


def _object(found: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = found.get(name)
    if not isinstance(value, dict):
        raise TargetError("bad_answer", f"the answer has no `{name}`")
    return value


def _audiences_in(token: Secret) -> list[str]:
    """For whom a token says it is: a review for somebody else would refuse it while it lives."""
    payload = token.reveal().split(".")[1:2]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload[0] + "==")) if payload else {}
    except (binascii.Error, ValueError):
        return []
    told = claims.get("aud") if isinstance(claims, dict) else None
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []
