"""The provider for AWS: temporary keys of one role, in a role session that we name.

AWS cannot take a role session back. Everything is denied to it by name, the keys are used until
the denial is what refuses them, and what services have not heard of it yet is a residual: for
the time that a denial takes to spread, and at the longest until the keys expire.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

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
from sojourn.providers._http import within
from sojourn.providers.aws_sts.config import Settings, admin_keys, configured, session_policy, template
from sojourn.providers.aws_sts.denials import Denials
from sojourn.providers.aws_sts.standing import standing_keys
from sojourn.providers.aws_sts.wire import Keys, Place, Service, words_of

METHOD_SECONDS: Final = 12.0
SHORTEST: Final = timedelta(minutes=15)
LONGEST: Final = timedelta(hours=12)
SIGNED_FOR: Final = timedelta(minutes=5)  # AWS takes a request for so long after it was signed
PROBES: Final = 3
_HANDLE: Final = re.compile(r"[a-z0-9_]{2,50}")
_BY_DENIAL: Final = "explicit deny in an identity-based policy"


class AwsSts:
    """Takes on a role for each session, and denies that role session when it ends."""

    def __init__(
        self,
        settings: Settings,
        templates: Mapping[str, Mapping[str, object]],
        keys: Keys,
        clock: WallClock,
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._clock = clock
        self._sts = Service(Place("sts", settings.region, settings.sts_endpoint), keys)
        self._iam = Service(Place("iam", settings.region, settings.iam_endpoint), keys)
        self._denials = Denials(self._iam, settings.role_name, uuid4().hex[:8], clock)
        self._known_role: str | None = None

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> AwsSts:
        """The provider of one role; `secret` is the admin's keys as JSON.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(configured(settings), templates, admin_keys(secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """C: new requests are refused once the denial has spread; nothing that runs is cut."""
        return RevocationClass.C

    def check_template(self, raw: Mapping[str, object]) -> None:
        """Refuse a template that narrows nothing, or is too long for AWS.

        Raises:
            Invalid: code `bad_template`.
        """
        template(raw)

    async def issue(self, intent: Intent) -> Issued:
        """Take on the role under the handle, for exactly as long as the session may last."""
        async with within("issue", METHOD_SECONDS):
            return await self._assume(intent, _checked(intent.handle))

    async def locate(self, handle: str) -> str | None:
        """The id that its role session has if there is one: AWS lists none, and denies by name."""
        async with within("locate", METHOD_SECONDS):
            return f"{await self._role_id()}:{_checked(handle)}"

    async def freeze(self, ref: Ref) -> None:
        """Deny the role session there is; `thaw` makes one of another name."""
        if ref.target_id is not None:
            async with within("freeze", METHOD_SECONDS):
                await self._denials.deny(ref.target_id, self._over_at(ref))

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Take on the role under another name that begins with the handle."""
        if ref.target_id is None:
            raise TargetError("missing_object", "there was no role session", sent=False)
        async with within("thaw", METHOD_SECONDS):
            name = f"{_checked(intent.handle)}.{int(intent.issue_by.timestamp())}"
            if self._denials.has(await self._pattern(intent.handle)):
                raise TargetError("wrong_state", "it is being destroyed", sent=False)
            return await self._assume(intent, name)

    async def destroy(self, ref: Ref) -> None:
        """Deny every role session whose name begins with the handle."""
        if ref.target_id is None and ref.lands_by is None:
            return
        async with within("destroy", METHOD_SECONDS):
            await self._denials.deny(await self._pattern(ref.handle), self._over_at(ref))

    async def observe(self, ref: Ref) -> Observation:
        """Use the keys until only our denial refuses them, and then for as long as it spreads."""
        async with within("observe", METHOD_SECONDS):
            if ref.target_id is None and ref.lands_by is None:
                return Observation(Presence.ABSENT, "nothing of it was ever sent")
            if ref.kept is None or ref.lands_by is not None:
                place = "AWS, for keys whose answer was lost"
                return Observation(
                    Presence.UNKNOWN, "no keys to ask with", lasting=Lasting(place, self._over_at(ref))
                )
            match await self._use(ref.kept, times=PROBES):
                case "expired":
                    return Observation(Presence.ABSENT, "AWS says that the keys have expired")
                case "denied":
                    return self._denied(ref)
                case said:
                    return self._alive(ref, said)

    async def inventory(self, prefix: str) -> Sequence[Found] | None:
        """None: AWS does not list role sessions."""
        return None

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """The active access keys of the account's users; the admin's own is among them."""
        return await standing_keys(self._iam, self._settings.role_arn.split(":")[4])

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Take on the role by the first template, deny that, and see the denial refuse."""
        life = SHORTEST + timedelta(seconds=30)
        return await Canary(self, self._clock, self._is_honoured, life=life).run(prefix, self._templates)

    async def close(self) -> None:
        """Close the connections to AWS."""
        self._sts.close()
        self._iam.close()

    # -- the calls ---------------------------------------------------------------------
    async def _assume(self, intent: Intent, name: str) -> Issued:
        wish = template(intent.template)
        now = self._clock.now()
        left = intent.expires_at - now
        if left < SHORTEST:
            text = f"the shortest life of temporary keys is {SHORTEST}, and the session ends sooner"
            raise TargetError("too_short", text, sent=False)
        if left > LONGEST:
            raise TargetError("too_long", f"the longest life of temporary keys is {LONGEST}", sent=False)
        if now >= intent.issue_by:
            raise TargetError("deadline_passed", "the deadline passed before it was sent", sent=False)
        told: dict[str, object] = {
            "RoleArn": self._settings.role_arn,
            "RoleSessionName": name,
            "DurationSeconds": int(left.total_seconds()),
            "Policy": session_policy(wish),
        }
        if wish.policy_arns:
            told["PolicyArns"] = [{"arn": arn} for arn in wish.policy_arns]
        if self._settings.source_identity:
            told["SourceIdentity"] = intent.handle
        if self._settings.external_id is not None:
            told["ExternalId"] = self._settings.external_id
        return self._issued(await self._sts.call("assume_role", **told), intent)

    def _issued(self, answer: Mapping[str, Any], intent: Intent) -> Issued:
        try:
            made, user = answer["Credentials"], answer["AssumedRoleUser"]
            keys = {
                "access_key_id": str(made["AccessKeyId"]),
                "secret_access_key": str(made["SecretAccessKey"]),
                "session_token": str(made["SessionToken"]),
            }
            target_id, expires_at = str(user["AssumedRoleId"]), made["Expiration"]
        except (KeyError, TypeError) as error:
            raise TargetError("bad_answer", "the answer holds no temporary keys") from error
        if not isinstance(expires_at, datetime) or expires_at > intent.expires_at + SIGNED_FOR:
            raise TargetError("too_long", "AWS lets the keys live for longer than was asked for")
        told = {"region": self._settings.region, "role": self._settings.role_arn}
        secret = Secret(json.dumps(keys))
        return Issued(target_id, told, secret, keep=secret)

    async def _use(self, kept: Secret, *, times: int = 1) -> str:
        """`denied` if each of `times` uses was, else what came of the first that was not."""
        service = Service(self._sts.place, admin_keys(kept))
        try:
            for _ in range(times):
                said = await self._use_once(service)
                if said != "denied":
                    return said
            return "denied"
        finally:
            service.close()

    async def _use_once(self, service: Service) -> str:
        """What came of a use of the keys that every policy of the role has a say in."""
        try:
            await service.call("get_access_key_info", AccessKeyId=service.keys.access_key_id)
        except TargetError as error:
            if error.code == "missing_privilege":
                return "denied" if _BY_DENIAL in words_of(error) else "refused, but not by our denial"
            if error.code == "expired":
                return "expired"
            if error.code == "admin_login_refused":
                return "not recognised"
            raise
        return "granted"

    async def _is_honoured(self, handle: str, issued: Issued) -> bool:
        return await self._use(issued.secret) not in ("denied", "expired")

    def _alive(self, ref: Ref, said: str) -> Observation:
        lasting = Lasting("AWS, until the keys expire", self._over_at(ref))
        method = f"a use of the keys: {said}"
        if said == "not recognised":  # the role may be gone, or this region does not know the keys
            return Observation(Presence.UNKNOWN, method, lasting=lasting)
        if ref.target_id is not None:
            self._denials.doubt(ref.target_id, timedelta(seconds=self._settings.propagation_seconds))
        return Observation(Presence.PRESENT, method, {"login": 1}, lasting)

    def _denied(self, ref: Ref) -> Observation:
        method = f"an explicit denial refused {PROBES} uses of the keys"
        since = None if ref.target_id is None else self._denials.since(ref.target_id)
        if since is None:  # by another process; this one counts from its own
            lasting = Lasting("AWS, until the keys expire", self._over_at(ref))
            return Observation(Presence.LINGERING, method, lasting=lasting)
        spread_at = since + timedelta(seconds=self._settings.propagation_seconds)
        if self._clock.now() < spread_at:
            lasting = Lasting("AWS services that have not heard of the denial", spread_at)
            return Observation(Presence.LINGERING, method, lasting=lasting)
        waited = f"{self._settings.propagation_seconds:g} s after it was made"
        return Observation(Presence.ABSENT, f"{method}, {waited}")

    async def _role_id(self) -> str:
        if self._known_role is None:
            answer = await self._iam.call("get_role", RoleName=self._settings.role_name)
            self._known_role = str(answer["Role"]["RoleId"])
        return self._known_role

    async def _pattern(self, handle: str) -> str:
        return f"{await self._role_id()}:{_checked(handle)}*"

    def _over_at(self, ref: Ref) -> datetime:
        """When the keys have expired, even of a request that was held back on the way."""
        ends = ref.expires_at or self._clock.now() + LONGEST
        return ends + SIGNED_FOR


def _checked(handle: str) -> str:
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", "expected 2 to 50 lower-case letters, digits and `_`")
    return handle
