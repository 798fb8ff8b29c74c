"""The provider for GitHub: one installation token a session, narrowed, revoked by itself.

Nothing but the token revokes the token, so it is kept sealed until it is gone. Tokens have no
name and cannot be listed: what was not answered is waited out, an hour at most.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.core.window import parse, show
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
from sojourn.providers._http import HttpApi, instant_in, path, refused, texts, within

TOKEN_LIFE: Final = timedelta(hours=1)  # fixed by GitHub
PROBES: Final = 3
METHOD_SECONDS: Final = 9.0
_CLOCK_DRIFT: Final = timedelta(seconds=60)  # GitHub's advice for `iat`
_PLACE: Final = "GitHub, until the token expires"
_PERMISSION: Final = re.compile(r"[a-z_]{1,60}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HEADERS: Final = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "sojourn",
}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One installation of one app."""

    app: str
    installation: Annotated[int, msgspec.Meta(ge=1)]
    api: str = "https://api.github.com"
    ca_file: str | None = None


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token is narrowed to: neither may be left out."""

    repositories: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=500)]
    permissions: Annotated[dict[str, Literal["read", "write"]], msgspec.Meta(min_length=1, max_length=64)]


class GitHubApp:
    """Mints installation tokens, and has each revoke itself."""

    def __init__(
        self,
        settings: Settings,
        templates: Mapping[str, Mapping[str, object]],
        key: RSAKey,
        clock: WallClock,
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._key = key
        self._clock = clock
        self._http = HttpApi(settings.api, ca_file=settings.ca_file)

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> GitHubApp:
        """The provider of one installation; `secret` is the app's private key as PEM.

        Raises:
            Invalid: code `bad_target`.
        """
        read = read_settings(settings, Settings)
        if not re.fullmatch(r"[A-Za-z0-9.]{1,64}", read.app):
            raise Invalid("bad_target", "`app` must be the app's client id, or its number as text")
        return cls(read, templates, _key(secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """C: the next request is refused; a download that is under way goes on."""
        return RevocationClass.C

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template that does not name repositories and permissions.

        Raises:
            Invalid: code `bad_template`.
        """
        _template(template)

    async def issue(self, intent: Intent) -> Issued:
        """Mint a token; GitHub's clock refuses our assertion after `intent.issue_by`."""
        async with within("issue", METHOD_SECONDS):
            wish = _template(intent.template)
            if intent.expires_at - self._clock.now() > TOKEN_LIFE:
                text = "a token lives for one hour, and the session may last longer"
                raise TargetError("too_long", text, sent=False)
            body = {"repositories": list(wish.repositories), "permissions": wish.permissions}
            place = path("app", "installations", str(self._settings.installation), "access_tokens")
            headers = {**_HEADERS, "Authorization": f"Bearer {self._assertion(intent.issue_by)}"}
            answer = await self._http.ask("POST", place, (201,), "issue", body=body, headers=headers)
            return await self._narrowed(answer.members(), wish)

    async def locate(self, handle: str) -> str | None:
        """None: GitHub knows no name of ours, and lists no tokens."""
        return None

    async def freeze(self, ref: Ref) -> None:
        """Revoke the token: there is no pause; `thaw` mints another."""
        await self.destroy(ref)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Mint another token in place of one that was frozen."""
        if ref.target_id is None:
            raise TargetError("missing_object", "there was no token", sent=False)
        return await self.issue(intent)

    async def destroy(self, ref: Ref) -> None:
        """Have the token revoke itself; a token that nobody holds any more can only expire."""
        if ref.kept is None:
            return
        async with within("destroy", METHOD_SECONDS):
            await self._revoke(ref.kept)

    async def observe(self, ref: Ref) -> Observation:
        """Use the token: three refusals are an absence."""
        if ref.lands_by is not None:
            lasting = Lasting("GitHub, if it minted what it did not answer", ref.lands_by + TOKEN_LIFE)
            return Observation(Presence.UNKNOWN, "an unanswered request", lasting=lasting)
        if ref.target_id is None:
            return Observation(Presence.ABSENT, "nothing of it was ever sent")
        lasting = Lasting(_PLACE, _expiry_in(ref.target_id))
        if ref.kept is None:
            return Observation(Presence.UNKNOWN, "the token is not held any more", lasting=lasting)
        async with within("observe", METHOD_SECONDS):
            for _ in range(PROBES):
                if await self._honours(ref.kept):
                    return Observation(Presence.PRESENT, "a use of the token", {"login": 1}, lasting)
        return Observation(Presence.ABSENT, f"{PROBES} refused uses of the token")

    async def inventory(self, prefix: str) -> Sequence[Found] | None:
        """None: GitHub does not list installation tokens."""
        return None

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Mint a canary by the first template, use it, revoke it, and see it refused."""
        return await Canary(self, self._clock, self._is_honoured).run(prefix, self._templates)

    async def close(self) -> None:
        """Close the connections to GitHub."""
        await self._http.close()

    def _assertion(self, expires_at: datetime) -> str:
        """A JWT by the app's key that is worth nothing after `expires_at`, whenever it arrives."""
        now = self._clock.now()
        if now >= expires_at:
            raise TargetError("deadline_passed", "the deadline passed before it was sent", sent=False)
        claims = {
            "iss": self._settings.app,
            "iat": int((now - _CLOCK_DRIFT).timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode({"alg": "RS256", "typ": "JWT"}, claims, self._key)

    async def _narrowed(self, answer: Mapping[str, object], wish: Template) -> Issued:
        token, expiry = texts(answer, ("token", "expires_at"))
        secret = Secret(token)
        given = answer.get("permissions")
        # `metadata: read` comes with every token.
        more = {**wish.permissions, "metadata": "read"}
        narrow = isinstance(given, dict) and all(more.get(name) == level for name, level in given.items())
        if not narrow or answer.get("repository_selection") != "selected":
            await self._revoke(secret)
            raise TargetError("too_broad", "GitHub gave more than was asked for; it was revoked")
        mark = hashlib.sha256(token.encode()).hexdigest()[:16]
        target_id = f"{self._settings.installation}/{show(instant_in(expiry))}/{mark}"
        told = {"api": self._settings.api, "user": "x-access-token"}
        return Issued(target_id, told, secret, keep=secret)

    async def _revoke(self, token: Secret) -> None:
        headers = {**_HEADERS, "Authorization": f"Bearer {token.reveal()}"}
        place = path("installation", "token")
        await self._http.ask("DELETE", place, (204, 401), "destroy", headers=headers)  # 401: dead already

    async def _honours(self, token: Secret) -> bool:
        headers = {**_HEADERS, "Authorization": f"Bearer {token.reveal()}"}
        place = path("installation", "repositories")
        answer = await self._http.call("GET", place, query={"per_page": "1"}, headers=headers)
        if answer.status in (200, 401):
            return answer.status == 200
        raise refused(answer.status, "observe")

    async def _is_honoured(self, handle: str, issued: Issued) -> bool:
        return await self._honours(issued.secret)


def _template(raw: Mapping[str, object]) -> Template:
    read = read_template(raw, Template)
    for name in read.repositories:
        if not _REPOSITORY.fullmatch(name):
            raise Invalid("bad_template", f"`repositories`: `{name[:60]}` is no name of a repository")
    for name in read.permissions:
        if not _PERMISSION.fullmatch(name):
            raise Invalid("bad_template", f"`permissions`: `{name[:60]}` is no name of a permission")
    return read


def _key(secret: Secret) -> RSAKey:
    try:
        key = RSAKey.import_key(secret.reveal())
    except (JoseError, ValueError, TypeError) as error:
        raise Invalid("bad_target", "the secret must be the app's private key, as PEM") from error
    if not key.is_private:
        raise Invalid("bad_target", "the secret must be a private key")
    return key


def _expiry_in(target_id: str) -> datetime:
    parts = target_id.split("/")
    if len(parts) != 3:
        raise TargetError("bad_target_id", "expected an installation, an expiry and a mark", sent=False)
    try:
        return parse(parts[1])
    except Invalid as error:
        raise TargetError("bad_target_id", error.message, sent=False) from error
