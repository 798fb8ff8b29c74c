"""Try the key and its taking away: taken with the key, refused without it, refused by us at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import uuid4

from sojourn.core.errors import Refused, TargetError
from sojourn.ports.provider import Check, Forwards, Outgoing, Provider, Ref
from sojourn.providers._http import HttpApi

_NEEDS_KEY: Final = frozenset({401, 403})
Step = Callable[[], Awaitable[str]]


class Preflight:
    """One run; `probe` is a path that GET answers with 2xx to whoever has the key."""

    def __init__(self, provider: Provider, forwards: Forwards, api: HttpApi, probe: str | None) -> None:
        self._provider = provider
        self._forwards = forwards
        self._api = api
        self._probe = probe
        self._checks: list[Check] = []
        self._handle = ""

    async def run(self, prefix: str) -> Sequence[Check]:
        """Every check in order; the first that fails is the last."""
        self._handle = f"{prefix}canary_{uuid4().hex[:12]}"
        if self._probe is None:
            mend = "set `probe_path` to a path that GET answers for whoever has the key"
            return [Check("probe", False, 0.0, "without a probe nobody knows whether the key works", mend)]
        steps: tuple[tuple[str, Step, str], ...] = (
            ("key taken", self._taken, "check the key, `header` and `format`"),
            (
                "needs the key",
                self._needed,
                "this path needs no key: name one that does",
            ),
            ("cut", self._cut, ""),
            ("refused", self._refused, ""),
        )
        for name, step, mend in steps:
            if not await self._try(name, step, mend):
                break
        return self._checks

    async def _taken(self) -> str:
        status = await self._asked()
        if not 200 <= status < 300:
            raise TargetError("admin_login_refused", f"with the key the API answered {status}")
        return f"answered {status}"

    async def _needed(self) -> str:
        answer = await self._api.call("GET", str(self._probe))
        if answer.status not in _NEEDS_KEY:
            raise TargetError("canary_failed", f"without the key the API answered {answer.status}")
        return f"answered {answer.status} without it"

    async def _cut(self) -> str:
        await self._provider.destroy(Ref(self._handle, self._handle))
        return "taken away"

    async def _refused(self) -> str:
        try:
            status = await self._asked()
        except Refused:
            return "refused by us"
        raise TargetError("canary_alive", f"it was taken away and answered {status}")

    async def _asked(self) -> int:
        path = str(self._probe)
        template = {"methods": ["GET"], "paths": [path]}
        async with self._forwards.forward(
            self._handle, template, Outgoing("GET", path, "", (), b"")
        ) as answer:
            return answer.status

    async def _try(self, name: str, step: Step, mend: str) -> bool:
        begun = asyncio.get_running_loop().time()
        try:
            detail, ok = await step(), True
        except TargetError as error:
            detail, ok = str(error), False
        took_ms = 1000 * (asyncio.get_running_loop().time() - begun)
        self._checks.append(Check(name, ok, took_ms, detail, "" if ok else mend))
        return ok
