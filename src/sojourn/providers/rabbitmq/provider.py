"""The provider for RabbitMQ: one user a session, class A.

Binds the management API to the port: one deadline a method, failures as `TargetError`.
Holds no state about any credential.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Check, Found, Intent, Issued, Observation, Presence, Ref, RevocationClass
from sojourn.providers._common.call import Call, new_password, one_call, time_left
from sojourn.providers._common.preflight import Preflight
from sojourn.providers.rabbitmq.api import FAILURES, Api, refusal
from sojourn.providers.rabbitmq.config import Config, configured
from sojourn.providers.rabbitmq.rehearsal import Rehearsal
from sojourn.providers.rabbitmq.standing import standing_users, tags_of
from sojourn.providers.rabbitmq.template import Template, parse, permissions

ISSUE_MARGIN_SECONDS: Final = 3.0  # the answer's way home, after the fence
DESTROY_SECONDS: Final = 10.0
FREEZE_SECONDS: Final = 5.0
READ_SECONDS: Final = 5.0
CLEAN_READS: Final = 3
READ_GAP_SECONDS: Final = 0.005  # an opened connection is listed by an event of its own

MARK: Final = "sojourn"  # a tag of our own: it gives no right, and says who made the user
_CREATED: Final = 201
_HANDLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class RabbitMQ:
    """Makes a user for each session and takes it away again."""

    def __init__(self, config: Config, clock: WallClock) -> None:
        self._config = config
        self._clock = clock
        self._api = Api(config.address)

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> RabbitMQ:
        """The provider of one target; `secret` is the address of its management API.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(configured(settings, templates, secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """A: permissions taken, connections closed, absence seen by name."""
        return RevocationClass.A

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template that is malformed or asks for more than may be given.

        Raises:
            Invalid: code `bad_template`, naming the member and what was expected.
        """
        parse(template)

    def replace_password(self, password: Secret) -> None:
        """Use `password` for every call from now on."""
        self._api.replace_password(password)

    async def issue(self, intent: Intent) -> Issued:
        """Create the user `intent.handle` before the deadline, or never; then say what it may."""
        async with one_call("issue", self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            _check_handle(intent.handle)
            template, secret = parse(intent.template), new_password()
            if await self._api.get("users", intent.handle) is not None:
                raise TargetError("handle_taken", f"there is a user `{intent.handle}` already", sent=False)
            status = await self._put_user(call, intent, intent.handle, secret)
            if status != _CREATED:
                raise TargetError("handle_taken", f"another user `{intent.handle}` was made meanwhile")
            await self._allow(intent.handle, template)
            return Issued(intent.handle, self._connection_of(intent.handle, template), secret)

    async def locate(self, handle: str) -> str | None:
        """The handle itself, if there is a user of that name that we made."""
        async with one_call("locate", READ_SECONDS, FAILURES):
            _check_handle(handle)
            user = await self._api.get("users", handle)
            return handle if user is not None and MARK in tags_of(user) else None

    async def freeze(self, ref: Ref) -> None:
        """Take the permissions, without which no virtual host is entered, and close connections."""
        async with one_call("freeze", FREEZE_SECONDS, FAILURES) as call:
            _check_handle(ref.handle)
            call.sent = True
            await self._bar(ref.handle)
            await self._cut(ref.handle)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Give a barred user a new password and its permissions, unless it is gone."""
        async with one_call("thaw", self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            _check_handle(ref.handle)
            template, secret = parse(intent.template), new_password()
            if await self._api.get("users", ref.handle) is None:
                raise TargetError("missing_object", f"there is no user `{ref.handle}`", sent=False)
            status = await self._put_user(call, intent, ref.handle, secret)
            if status == _CREATED:  # it went meanwhile: nobody knows this password, and it may do nothing
                await self._api.delete("users", ref.handle)
                raise TargetError("missing_object", f"there is no user `{ref.handle}` any more")
            await self._allow(ref.handle, template)
            return Issued(ref.handle, self._connection_of(ref.handle, template), secret)

    async def destroy(self, ref: Ref) -> None:
        """Take the permissions, close every connection, delete the user, and look again."""
        async with one_call("destroy", DESTROY_SECONDS, FAILURES) as call:
            _check_handle(ref.handle)
            call.sent = True
            await self._bar(ref.handle)
            await self._cut(ref.handle)
            await self._api.delete("users", ref.handle)
            await self._cut(ref.handle)

    async def observe(self, ref: Ref) -> Observation:
        """Ask for user, permissions and connections until the answer is believable."""
        async with one_call("observe", READ_SECONDS, FAILURES):
            _check_handle(ref.handle)
            seen = await self._read(ref.handle, reads=1)
            while seen.presence is Presence.ABSENT and seen.detail["reads"] != CLEAN_READS:
                await asyncio.sleep(READ_GAP_SECONDS)
                seen = await self._read(ref.handle, reads=int(seen.detail["reads"]) + 1)
            return seen

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every user whose name begins with `prefix`; RabbitMQ does not say when it was made."""
        async with one_call("inventory", DESTROY_SECONDS, FAILURES):
            _check_handle(prefix)
            users = await self._api.get("users") or []
        names = sorted(str(user["name"]) for user in users if "name" in user)
        return [Found(name, name, None) for name in names if name.startswith(prefix)]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Every user whose name does not begin with `prefix`."""
        async with one_call("standing", DESTROY_SECONDS, FAILURES):
            return await standing_users(self._api, prefix, self._config.host)

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Try everything a session will need, with canaries that never stay behind."""
        rehearsal = Rehearsal(self._api, self._config, self._clock)
        run = Preflight(self, rehearsal, self._config.templates, fence_seconds=self._fence)
        return await run.run(prefix, {"vhost": self._config.settings.canary_vhost})

    async def close(self) -> None:
        """Close what is open."""
        await self._api.close()

    @property
    def _fence(self) -> float:
        return self._config.settings.issue_seconds

    async def _put_user(self, call: Call, intent: Intent, handle: str, secret: Secret) -> int:
        # What is sent from here may land for as long as the server waits for a request.
        left = time_left(self._fence, intent.issue_by, self._clock.now())
        if left.total_seconds() < self._fence:
            raise TargetError("deadline_passed", "too little time is left to send it", sent=False)
        body = {
            "password_hash": _digest(secret),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": MARK,
        }
        status = await self._api.put_fenced(call, body, "users", handle)
        if status >= 400:
            raise refusal(status, "the user was not made")
        return status

    async def _allow(self, handle: str, template: Template) -> None:
        """Both calls are refused by the server once the user is gone, however late they land."""
        limit = {"value": template.connection_limit}
        await self._api.put(limit, "user-limits", handle, "max-connections")
        await self._api.put(permissions(template), "permissions", template.vhost, handle)

    async def _bar(self, handle: str) -> None:
        for one in await self._api.get("users", handle, "permissions") or []:
            await self._api.delete("permissions", str(one["vhost"]), handle)

    async def _cut(self, handle: str) -> None:
        """Close connections of a user that may enter nowhere, until several looks find none."""
        clean = 0
        while clean < CLEAN_READS:
            if await self._api.get("connections", "username", handle):
                await self._api.delete("connections", "username", handle)
                clean = 0
            clean += 1
            await asyncio.sleep(READ_GAP_SECONDS)

    async def _read(self, handle: str, *, reads: int) -> Observation:
        user = await self._api.get("users", handle)
        allowed = len(await self._api.get("users", handle, "permissions") or [])
        live = len(await self._api.get("connections", "username", handle) or [])
        if user is not None and allowed:
            presence = Presence.PRESENT
        elif live:
            presence = Presence.LINGERING
        else:
            presence = Presence.ABSENT if user is None else Presence.PRESENT
        detail: dict[str, str | int] = {"reads": reads, "login": int(allowed > 0), "connections": live}
        if user is not None and MARK not in tags_of(user):
            detail["unmarked"] = 1
        return Observation(presence, f"users, permissions and connections by name, {reads} reads", detail)

    def _connection_of(self, user: str, template: Template) -> dict[str, str]:
        return {
            "host": self._config.host,
            "port": str(self._config.port),
            "user": user,
            "vhost": template.vhost,
            "tls": self._config.tls,
        }


def _digest(secret: Secret) -> str:
    """What RabbitMQ keeps of a password: a salt, and the SHA-256 of salt and password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + secret.reveal().encode()).digest()).decode()


def _check_handle(handle: str) -> None:
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", "expected 1 to 100 letters, digits, `_`, `.` or `-`")
