"""A preflight by canary: made, used, taken away, and used again in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final
from uuid import uuid4

from sojourn.core.errors import TargetError
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Check, Intent, Issued, Presence, Provider, Ref

CANARY_LIFE: Final = timedelta(minutes=20)
_FENCE: Final = timedelta(seconds=3)
_LOOKS: Final = 40
_BETWEEN_LOOKS_S: Final = 0.25

Use = Callable[[str, Issued], Awaitable[bool]]
"""Whether the credential made as that handle is honoured, asked with the credential itself."""


class Canary:
    """One run over one target."""

    def __init__(
        self, provider: Provider, clock: WallClock, use: Use, *, life: timedelta = CANARY_LIFE
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._use = use
        self._life = life
        self._checks: list[Check] = []
        self._issued: Issued | None = None
        self._handle = ""

    async def run(self, handle_prefix: str, templates: Mapping[str, Mapping[str, object]]) -> list[Check]:
        """Make one by the first template, use, destroy and look; it is destroyed whatever fails."""
        if not templates:
            no_template = "the target has no template to try"
            return [Check("template", False, 0.0, no_template, "add one with `--templates`")]
        template = dict(templates[min(templates)])
        now = self._clock.now()
        handle = self._handle = f"{handle_prefix}canary_{uuid4().hex[:12]}"
        intent = Intent(handle, template, now + _FENCE, now + self._life)
        if await self._try("issue", lambda: self._make(intent)):
            await self._try("use", self._works)
        ref = self._ref(intent)
        if await self._try("destroy", lambda: self._destroy(ref)):
            await self._try("observe", lambda: self._absent(ref))
            if self._issued is not None:
                await self._try("refused", self._is_refused)
        return self._checks

    def _ref(self, intent: Intent) -> Ref:
        if self._issued is None:
            return Ref(intent.handle, None, intent.expires_at, lands_by=intent.issue_by)
        return Ref(intent.handle, self._issued.target_id, intent.expires_at, kept=self._issued.keep)

    async def _make(self, intent: Intent) -> str:
        self._issued = await self._provider.issue(intent)
        return f"made `{intent.handle}`"

    async def _works(self) -> str:
        assert self._issued is not None
        if not await self._use(self._handle, self._issued):
            raise TargetError("canary_failed", "the credential was made and is not honoured")
        return "it is honoured"

    async def _destroy(self, ref: Ref) -> str:
        await self._provider.destroy(ref)
        return "taken away"

    async def _absent(self, ref: Ref) -> str:
        seen = await self._provider.observe(ref)
        for _ in range(_LOOKS):
            if seen.presence is Presence.ABSENT:
                return seen.method
            if seen.presence in (Presence.UNKNOWN, Presence.LINGERING) and seen.lasting is not None:
                return f"{seen.presence} until {seen.lasting.until:%H:%M:%SZ} at the latest, by {seen.method}"
            await asyncio.sleep(_BETWEEN_LOOKS_S)
            seen = await self._provider.observe(ref)
        raise TargetError("canary_alive", f"still {seen.presence} by {seen.method}")

    async def _is_refused(self) -> str:
        assert self._issued is not None
        if await self._use(self._handle, self._issued):
            raise TargetError("canary_alive", "it was taken away and is honoured")
        return "it is refused"

    async def _try(self, name: str, step: Callable[[], Awaitable[str]]) -> bool:
        begun = asyncio.get_running_loop().time()
        ok, mend = True, ""
        try:
            detail = await step()
        except TargetError as error:
            ok, detail, mend = False, str(error), _MENDS.get(error.code, "")
        took = 1000 * (asyncio.get_running_loop().time() - begun)
        self._checks.append(Check(name, ok, took, detail, mend))
        return ok


_MENDS: Final = {
    "admin_login_refused": "the target does not take the admin secret: add the target again with a valid one",
    "missing_privilege": "grant the admin what the provider's reference page lists",
    "target_unreachable": "check the address in the settings, and the network",
    "target_timeout": "check the address in the settings, and the network",
}
