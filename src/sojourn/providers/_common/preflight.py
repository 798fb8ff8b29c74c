"""Whether a target can really be governed: everything a session needs, tried on canaries.

Each check says how long it took and, when it fails, what would mend it. A canary that was
sent is always destroyed and observed, whatever failed on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol
from uuid import uuid4

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Check, Intent, Issued, Observation, Presence, Ref

CANARY_LIFE: Final = timedelta(minutes=5)
CUT_SECONDS: Final = 2.0  # class A: live work is stopped within this
STEP_SECONDS: Final = 5.0
SKEW_SECONDS: Final = 5.0
SLACK_SECONDS: Final = 0.5  # between naming a deadline and the send
_UNANSWERED: Final = frozenset({"target_timeout", "target_unreachable"})

Step = Callable[[], Awaitable[str]]


class NotMet(Exception):
    """A check did not hold; carries what was seen and what would mend it."""

    def __init__(self, detail: str, mend: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.mend = mend


class Workload(Protocol):
    """A canary at work: one login with its secret, and something that goes on."""

    async def until_cut(self) -> None:
        """Return when the target has ended the connection."""

    def hang_up(self) -> None:
        """Drop the connection where it stands."""


class Rehearsal(Protocol):
    """What a provider lends to its preflight."""

    def first(self) -> Sequence[tuple[str, Step]]:
        """Checks without which nothing else is worth trying, in order."""
        ...

    def now(self) -> datetime:
        """Our clock."""
        ...

    async def log_in(self, issued: Issued) -> Workload:
        """Log in as a canary and begin to work.

        Raises:
            TargetError: code `login_refused` when the target refuses the secret.
        """
        ...


class Governed(Protocol):
    """What preflight asks of the provider it tries."""

    async def issue(self, intent: Intent) -> Issued: ...
    async def destroy(self, ref: Ref) -> None: ...
    async def observe(self, ref: Ref) -> Observation: ...


class Preflight:
    """One run over one target."""

    def __init__(
        self,
        provider: Governed,
        rehearsal: Rehearsal,
        templates: Mapping[str, Mapping[str, object]],
        *,
        fence_seconds: float,
    ) -> None:
        self._provider = provider
        self._rehearsal = rehearsal
        self._templates = templates
        self._fence_seconds = fence_seconds
        self._checks: list[Check] = []

    async def run(self, prefix: str, canary: Mapping[str, object]) -> list[Check]:
        """Try everything; the first failure of a step that others need ends the run.

        `canary` is a template that allows the work of the canary, and nothing else.
        """
        for name, step in self._rehearsal.first():
            if not await self._try(name, step):
                return self._checks
        for name, template in self._templates.items():
            await self._try(f"template {name}", partial(self._template, f"{prefix}{_tail()}", template))
        await self._with_canary(f"{prefix}{_tail()}", canary)
        return self._checks

    async def _template(self, handle: str, template: Mapping[str, object]) -> str:
        """A credential from this template can be made, and is taken away again."""
        issued: Issued | None = None
        answered = True
        try:
            issued = await self._provider.issue(self._intent(handle, template))
        except TargetError as error:
            answered = not error.sent or error.code not in _UNANSWERED
            raise
        finally:
            await self._gone(Ref(handle, issued.target_id if issued is not None else None), answered=answered)
        return "made, and taken away again"

    async def _with_canary(self, handle: str, template: Mapping[str, object]) -> None:
        issued: Issued | None = None
        answered = False

        async def create() -> str:
            nonlocal issued, answered
            try:
                issued = await self._provider.issue(self._intent(handle, template))
            except TargetError as error:
                answered = not error.sent or error.code not in _UNANSWERED
                raise
            answered = True
            return f"`{handle}`, {issued.target_id}"

        try:
            if await self._try("canary created", create) and issued is not None:
                await self._use_and_cut(handle, issued)
        finally:
            # A cancelled preflight runs this too.
            ref = Ref(handle, issued.target_id if issued is not None else None)
            await self._try("canary gone", partial(self._gone, ref, answered=answered))

    async def _use_and_cut(self, handle: str, issued: Issued) -> None:
        live: list[Workload] = []

        async def log_in() -> str:
            async with asyncio.timeout(STEP_SECONDS):
                live.append(await self._rehearsal.log_in(issued))
            return "logged in, and at work"

        if not await self._try("canary logs in", log_in):
            return
        running = asyncio.create_task(live[0].until_cut())
        try:
            await self._try("canary cut while it works", partial(self._cut, issued, handle, running))
            await self._try("new login refused", partial(self._refused, issued))
        finally:
            live[0].hang_up()
            running.cancel()
            await asyncio.wait([running], timeout=CUT_SECONDS)

    async def _cut(self, issued: Issued, handle: str, running: asyncio.Task[None]) -> str:
        await asyncio.sleep(0)
        if running.done():
            raise NotMet("the canary was cut off before anybody asked for it")
        begun = _tick()
        await self._provider.destroy(Ref(handle, issued.target_id))
        done, _ = await asyncio.wait([running], timeout=CUT_SECONDS)
        if not done:
            raise NotMet(f"a connection outlived its credential by {CUT_SECONDS:g} s")
        return f"cut {1000 * (_tick() - begun):.0f} ms after destroy began"

    async def _refused(self, issued: Issued) -> str:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                work = await self._rehearsal.log_in(issued)
        except TargetError as error:
            if error.code == "login_refused":
                return "login refused"
            raise
        work.hang_up()
        raise NotMet("the canary could log in after it was destroyed", "something between us keeps logins")

    async def _gone(self, ref: Ref, *, answered: bool) -> str:
        # An issue without an answer may still land, but not after its fence.
        if not answered:
            await asyncio.sleep(self._fence_seconds + SLACK_SECONDS)
        await self._provider.destroy(ref)
        seen = await self._provider.observe(ref)
        if seen.presence is not Presence.ABSENT:
            raise NotMet(f"the canary is {seen.presence}: {dict(seen.detail)}", f"remove `{ref.handle}`")
        return f"absent: {seen.method}"

    def _intent(self, handle: str, template: Mapping[str, object]) -> Intent:
        now = self._rehearsal.now()
        by = now + timedelta(seconds=self._fence_seconds + SLACK_SECONDS)
        return Intent(handle, template, by, now + CANARY_LIFE)

    async def _try(self, name: str, step: Step) -> bool:
        begun = _tick()
        ok, mend = True, ""
        try:
            detail = await step()
        except NotMet as error:
            ok, detail, mend = False, error.detail, error.mend
        except TargetError as error:
            ok, detail, mend = False, str(error), getattr(error.__cause__, "mend", "")
        except TimeoutError:
            ok, detail = False, f"no answer in {STEP_SECONDS:g} s"
        self._checks.append(Check(name, ok, 1000 * (_tick() - begun), detail, mend))
        return ok


def skew_of(theirs: datetime, ours: datetime) -> str:
    """How far the target's clock differs, in words.

    Raises:
        NotMet: by more than 5 s.
    """
    skew = (theirs - ours).total_seconds()
    if abs(skew) > SKEW_SECONDS:
        raise NotMet(f"the server's clock differs by {skew:+.1f} s", "synchronise both clocks by NTP")
    return f"the server's clock differs by {1000 * skew:+.0f} ms"


def _tail() -> str:
    return f"canary_{uuid4().hex[:12]}"


def _tick() -> float:
    return asyncio.get_running_loop().time()
