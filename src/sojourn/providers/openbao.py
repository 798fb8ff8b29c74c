"""The provider for OpenBao and Vault: one token a session, under a token role of its own.

The role carries our handle and is made first; the token is made through it. So the role's
removal refuses whatever is still on its way, and one prefix holds every token of the session,
the answered and the unanswered, with all the leases they have come by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.core.window import parse
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import (
    Check,
    Found,
    Intent,
    Issued,
    Observation,
    Presence,
    Ref,
    RevocationClass,
)
from sojourn.providers._canary import Canary
from sojourn.providers._common.reading import read_settings, read_template
from sojourn.providers._http import Answer, HttpApi, path, refused, require_time, texts, within

METHOD_SECONDS: Final = 9.0
STANDING_SECONDS: Final = 60.0
MOST_TOKENS: Final = 2_000  # one request for each
CLEAN_READS: Final = 3
_NAME: Final = re.compile(r"[A-Za-z0-9._/-]{1,128}")
_HANDLE: Final = re.compile(r"[a-z0-9_]{1,100}")
_FORBIDDEN: Final = frozenset({"root", "response-wrapping", "control-group"})
_ROLES: Final = ("auth", "token", "roles")
_MADE: Final = ("auth", "token", "create")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server, or one namespace of it."""

    address: str
    namespace: str | None = None
    ca_file: str | None = None
    client_address: str | None = None  # where workloads connect, if not where the admin does


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The policies of a token."""

    policies: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]


class OpenBao:
    """Makes a token for each session, and revokes it with all that came of it."""

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
        self._http = HttpApi(settings.address, ca_file=settings.ca_file)

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> OpenBao:
        """The provider of one target; `secret` is the admin's token.

        Raises:
            Invalid: code `bad_target`.
        """
        read = read_settings(settings, Settings)
        for member, text in (("namespace", read.namespace), ("secret", secret.reveal())):
            if text is not None and not re.fullmatch(r"[\x21-\x7e]{1,2048}", text):
                raise Invalid("bad_target", f"`{member}` must be visible ASCII without spaces")
        return cls(read, templates, secret, clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """A: the server checks the token at each request, and lists what is left of it."""
        return RevocationClass.A

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template without policies, or with one that cannot be bounded.

        Raises:
            Invalid: code `bad_template`.
        """
        _template(template)

    async def issue(self, intent: Intent) -> Issued:
        """Make the role, then the token through it; nothing is sent after the deadline."""
        async with within("issue", METHOD_SECONDS):
            _checked(intent.handle)
            wish = _template(intent.template)
            place = path(*_ROLES, intent.handle)
            require_time(intent, self._clock.now())
            if (await self._ask("GET", place, (200, 404), "issue")).status == 200:
                raise TargetError("handle_taken", "there is a role of this name", sent=False)
            role = {
                "allowed_policies": list(wish.policies),
                "orphan": True,  # the admin's own token may be rotated meanwhile
                "renewable": False,
                "token_type": "service",
                "token_no_default_policy": True,
            }
            await self._ask("POST", place, (200, 204), "issue", body=role)
            return await self._make_token(intent, wish)

    async def locate(self, handle: str) -> str | None:
        """The role of that name: names of ours are unique for ever, and roles cannot be renamed."""
        async with within("locate", METHOD_SECONDS):
            place = path(*_ROLES, _checked(handle))
            there = (await self._ask("GET", place, (200, 404), "locate")).status == 200
            return handle if there or await self._tokens(handle) else None

    async def freeze(self, ref: Ref) -> None:
        """Revoke every token of the role, and keep the role for the thaw."""
        async with within("freeze", METHOD_SECONDS):
            await self._revoke(_checked(ref.handle))

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Make another token through the role, if the role is still there."""
        async with within("thaw", METHOD_SECONDS):
            _checked(intent.handle)
            if (await self._ask("GET", path(*_ROLES, ref.handle), (200, 404), "thaw")).status == 404:
                raise TargetError("missing_object", f"there is no role `{ref.handle}`", sent=False)
            return await self._make_token(intent, _template(intent.template))

    async def destroy(self, ref: Ref) -> None:
        """Remove the role, so that no token can be made through it; then revoke those there are."""
        async with within("destroy", METHOD_SECONDS):
            await self._ask("DELETE", path(*_ROLES, _checked(ref.handle)), (200, 204, 404), "destroy")
            await self._revoke(ref.handle)

    async def observe(self, ref: Ref) -> Observation:
        """Look for the role and list the tokens made through it, until that is believable."""
        async with within("observe", METHOD_SECONDS):
            _checked(ref.handle)
            method = f"token role and leases by role, {CLEAN_READS} reads"
            for _ in range(CLEAN_READS):
                tokens = await self._tokens(ref.handle)
                role = (await self._ask("GET", path(*_ROLES, ref.handle), (200, 404), "observe")).status
                if role == 200 or tokens:
                    seen: dict[str, str | int] = {"login": int(tokens > 0), "tokens": tokens}
                    return Observation(Presence.PRESENT, method, {**seen, "role": int(role == 200)})
            return Observation(Presence.ABSENT, method)

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every token role whose name begins with `prefix`."""
        async with within("inventory", METHOD_SECONDS):
            answer = await self._ask("LIST", path(*_ROLES), (200, 404), "inventory")
            return [Found(name, name, None) for name in _keys(answer) if name.startswith(prefix)]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Tokens that no session made, by their accessors; the admin's own is among them."""
        async with within("standing", STANDING_SECONDS):
            place = path("auth", "token", "accessors")
            accessors = _keys(await self._ask("LIST", place, (200, 404), "standing"))
            if len(accessors) > MOST_TOKENS:
                raise TargetError("too_many", f"the server holds more than {MOST_TOKENS} tokens", sent=False)
            found = [await self._standing(accessor) for accessor in accessors]
            ours = f"auth/token/create/{prefix}"
            return [one for one, made_by in found if one is not None and not made_by.startswith(ours)]

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Make a canary by the first template, look it up, revoke it, and look again."""
        return await Canary(self, self._clock, self._is_honoured).run(prefix, self._templates)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._http.close()

    async def _make_token(self, intent: Intent, wish: Template) -> Issued:
        require_time(intent, self._clock.now())
        seconds = int((intent.expires_at - self._clock.now()).total_seconds())
        if seconds < 1:
            raise TargetError("deadline_passed", "the session is over", sent=False)
        body = {
            "policies": list(wish.policies),
            "ttl": f"{seconds}s",
            "explicit_max_ttl": f"{seconds}s",
            "display_name": intent.handle,
            "meta": {"sojourn": intent.handle},
        }
        answer = await self._ask("POST", path(*_MADE, intent.handle), (200,), "issue", body=body)
        auth = answer.members().get("auth")
        if not isinstance(auth, dict):
            raise TargetError("bad_answer", "the answer has no `auth`")
        (token,) = texts(auth, ("client_token",))
        if auth.get("lease_duration") != seconds:
            # The server caps what is longer than its own limit, and only warns.
            raise TargetError("too_long", f"the server does not let a token live for {seconds} s")
        return Issued(intent.handle, self._told(), Secret(token))

    def _told(self) -> dict[str, str]:
        told = {"address": self._settings.client_address or self._settings.address}
        if self._settings.namespace is not None:
            told["namespace"] = self._settings.namespace
        return told

    async def _revoke(self, handle: str) -> None:
        place = path("sys", "leases", "revoke-prefix", *_MADE, handle)
        await self._ask("PUT", place, (200, 202, 204), "destroy", body={"sync": True})

    async def _tokens(self, handle: str) -> int:
        place = path("sys", "leases", "lookup", *_MADE, handle)
        return len(_keys(await self._ask("LIST", place, (200, 404), "observe")))

    async def _standing(self, accessor: str) -> tuple[Standing | None, str]:
        """A token as a finding, and the path it was made by; None if it is gone by now."""
        place = path("auth", "token", "lookup-accessor")
        answer = await self._ask("POST", place, (200, 403, 404), "standing", body={"accessor": accessor})
        told = answer.members().get("data") if answer.status == 200 else None
        if not isinstance(told, dict):
            return None, ""
        policies, name = told.get("policies"), told.get("display_name")
        root = isinstance(policies, list) and "root" in policies
        standing = Standing(
            kind="openbao_token",
            place=self._settings.address,
            name=accessor,
            created_at=_instant(told.get("issue_time")),
            expires_at=_instant(told.get("expire_time")),
            owner_guess=name if isinstance(name, str) and name else None,
            privileged=root,
            grants={"secrets": {"target": "CHANGE-ME-openbao", "template": "app"}},
        )
        return standing, str(told.get("path", ""))

    async def _is_honoured(self, handle: str, issued: Issued) -> bool:
        """Asked by the admin: what the token itself may do is its policies' affair."""
        body = {"token": issued.secret.reveal()}
        answer = await self._http.call("POST", "/v1/auth/token/lookup", body=body, headers=self._headers())
        if answer.status in (200, 403, 404):
            return answer.status == 200
        raise refused(answer.status, "observe")

    async def _ask(
        self, method: str, place: str, wanted: Sequence[int], verb: str, *, body: object = None
    ) -> Answer:
        return await self._http.ask(method, f"/v1{place}", wanted, verb, body=body, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        headers = {"X-Vault-Token": self._secret.reveal(), "X-Vault-Request": "true"}
        if self._settings.namespace is not None:
            headers["X-Vault-Namespace"] = self._settings.namespace
        return headers


def _template(raw: Mapping[str, object]) -> Template:
    read = read_template(raw, Template)
    for name in read.policies:
        if not _NAME.fullmatch(name) or name in _FORBIDDEN:
            raise Invalid("bad_template", f"`policies`: `{name[:60]}` cannot be given")
    return read


def _checked(handle: str) -> str:
    # A role's name is also a prefix of leases: no name may be the beginning of another.
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", "expected lower-case letters, digits and `_`")
    return handle


def _instant(value: object) -> datetime | None:
    try:
        return parse(value) if isinstance(value, str) else None
    except Invalid:
        return None


def _keys(answer: Answer) -> list[str]:
    if answer.status == 404:
        return []
    listed = answer.members().get("data")
    keys = listed.get("keys") if isinstance(listed, dict) else None
    if not isinstance(keys, list):
        raise TargetError("bad_answer", "the answer has no `data.keys`")
    return [key for key in keys if isinstance(key, str)]
