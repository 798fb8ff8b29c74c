"""The provider for OpenSSH: one certificate a session, admitted and ended at the host itself.

With our program as the forced command of each certificate, the host refuses at once and ends
what runs (class B). Without it, the KRL refuses new logins and nothing more (class C).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
from sojourn.providers.ssh.certificates import Wish, certify, new_serial, private_pem
from sojourn.providers.ssh.config import Settings, Template, authority, configured, template
from sojourn.providers.ssh.orders import Orders
from sojourn.providers.ssh.standing import standing_keys

METHOD_SECONDS: Final = 10.0
FENCE: Final = timedelta(seconds=3)
_HANDLE: Final = re.compile(r"[a-z0-9_]{2,100}")


class OpenSsh:
    """Signs certificates, and has the host admit and end them."""

    def __init__(
        self,
        settings: Settings,
        templates: Mapping[str, Mapping[str, object]],
        key: Ed25519PrivateKey,
        clock: WallClock,
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._authority = key
        self._clock = clock
        self._orders = Orders(settings, key, clock)

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> OpenSsh:
        """The provider of one host; `secret` is the authority's private key.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(configured(settings), templates, authority(secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """B with our program on the host, C without it."""
        return RevocationClass.B if self._settings.wrapper else RevocationClass.C

    def check_template(self, raw: Mapping[str, object]) -> None:
        """Refuse a template for a user that the target does not list.

        Raises:
            Invalid: code `bad_template`.
        """
        template(raw, self._settings.users)

    async def issue(self, intent: Intent) -> Issued:
        """Have the host admit a serial, in time by its own clock; then sign for it."""
        async with within("issue", METHOD_SECONDS):
            return await self._admit("admit", intent)

    async def locate(self, handle: str) -> str | None:
        """The id that the host gave to the admission of that handle."""
        async with within("locate", METHOD_SECONDS):
            found = (await self._look(handle)).get("id")
        return found if isinstance(found, str) else None

    async def freeze(self, ref: Ref) -> None:
        """Let nobody in, and end what runs."""
        async with within("freeze", METHOD_SECONDS):
            await self._order("freeze", ref.handle)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Admit another serial under a handle that is frozen."""
        async with within("thaw", METHOD_SECONDS):
            return await self._admit("thaw", intent)

    async def destroy(self, ref: Ref) -> None:
        """Let nobody in for ever, put its serials on the KRL, and end what runs."""
        async with within("destroy", METHOD_SECONDS):
            ends = ref.expires_at
            _checked(ref.handle)
            await self._orders.give(
                "end",
                lambda there: {
                    "handle": ref.handle,
                    "until": (self._there(ends, there) if ends else there + timedelta(days=1)).timestamp(),
                },
            )

    async def observe(self, ref: Ref) -> Observation:
        """Ask the host for the admission and for what runs, by scans that agree."""
        async with within("observe", METHOD_SECONDS):
            seen = await self._look(ref.handle)
        state, running = seen.get("state"), seen.get("running")
        if not isinstance(running, int):
            raise TargetError("bad_answer", "the host did not say what runs")
        detail: dict[str, str | int] = {"login": int(state == "open"), "processes": running}
        lasting = None
        if not self._settings.wrapper and ref.expires_at is not None:
            lasting = Lasting("the host, until the certificate expires", ref.expires_at)
        if not self._settings.wrapper:
            method = "admission and KRL on the host; shells that were open are not looked for"
        else:
            method = f"admission and processes on the host, {seen.get('scans')} scans"
        if state == "open" or (state is not None and not running):
            return Observation(Presence.PRESENT, method, detail, lasting)
        if running:
            return Observation(Presence.LINGERING, method, detail, lasting)
        return Observation(Presence.ABSENT, method, detail)

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every handle that the host admits and that begins with `prefix`."""
        async with within("inventory", METHOD_SECONDS):
            listed = (await self._order("list", prefix)).get("found")
        if not isinstance(listed, list):
            raise TargetError("bad_answer", "the host did not list what it admits")
        return [
            Found(str(one["handle"]), str(one["id"]), datetime.fromtimestamp(float(one["at"]), UTC))
            for one in listed
            if isinstance(one, dict) and one.keys() >= {"handle", "id", "at"}
        ]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Every key in the host's lists of authorized keys: none of them is ours."""
        async with within("standing", METHOD_SECONDS):
            return standing_keys(await self._order("keys", prefix), self._settings.host)

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Admit a canary by the first template, log in with it, end it, and try again."""
        return await Canary(self, self._clock, self._is_let_in).run(prefix, self._templates)

    async def close(self) -> None:
        """Remove what was on the disk for the orders."""
        self._orders.close()

    async def _admit(self, verb: str, intent: Intent) -> Issued:
        wish = template(intent.template, self._settings.users)
        _checked(intent.handle)
        left = min(FENCE, intent.issue_by - self._clock.now())
        if left <= timedelta(0):
            raise TargetError("deadline_passed", "the deadline passed before it was sent", sent=False)
        serial = new_serial()
        now: list[datetime] = []

        def order(there: datetime) -> dict[str, object]:
            now.append(there)
            return {
                "handle": intent.handle,
                "serial": str(serial),
                "expires_at": self._there(intent.expires_at, there).timestamp(),
                "deadline": (there + left).timestamp(),
            }

        answer = await self._orders.give(verb, order)
        found = answer.get("id")
        if not isinstance(found, str) or not found:
            raise TargetError("bad_answer", "the host gave no id")
        return self._signed(found, intent, wish, serial=serial, there=now[0])

    def _signed(
        self, target_id: str, intent: Intent, wish: Template, *, serial: int, there: datetime
    ) -> Issued:
        key = Ed25519PrivateKey.generate()
        place = f"exec {self._settings.program} {self._settings.state} session {intent.handle} {serial}"
        certificate = certify(
            self._authority,
            key.public_key(),
            Wish(
                intent.handle,
                wish.user,
                serial,
                there,
                self._there(intent.expires_at, there),
                place if self._settings.wrapper else None,
                wish.pty,
            ),
        )
        told = {
            "host": self._settings.client_host or self._settings.host,
            "port": str(self._settings.client_port or self._settings.port),
            "user": wish.user,
            "host_key": self._settings.host_key,
        }
        secret = json.dumps({"private_key": private_pem(key).reveal(), "certificate": certificate})
        return Issued(target_id, told, Secret(secret))

    async def _look(self, handle: str) -> Mapping[str, object]:
        return await self._order("look", handle)

    async def _order(self, verb: str, handle: str) -> Mapping[str, object]:
        _checked(handle)
        return await self._orders.give(verb, lambda _: {"handle": handle})

    async def _is_let_in(self, handle: str, issued: Issued) -> bool:
        told = json.loads(issued.secret.reveal())
        user = issued.connection["user"]
        return await self._orders.log_in(user, told["private_key"], told["certificate"])

    def _there(self, instant: datetime, host_now: datetime) -> datetime:
        """One of our instants, by the host's clock."""
        return host_now + (instant - self._clock.now())


def _checked(handle: str) -> None:
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", "expected 2 to 100 lower-case letters, digits and `_`")
