"""What the shared suites need of one kind of target: a server, a provider, and ways around it.

A kit is the conformance suite's `Rig` with what the fault suite needs on top. It looks at the
target by a way of its own, never through the provider it judges.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Presence, Provider, Ref
from sojourn.testing.provider_conformance import RECONNECTING_TASKS, Rig

_numbers = itertools.count(1)


class SystemNow:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Kit(Rig):
    """One target, its provider, and the words by which a proxy knows the messages between them."""

    name: ClassVar[str]  # of the kind of server
    provider_name: ClassVar[str] = ""  # in the catalogue, if it is another
    template: ClassVar[Mapping[str, object]]
    issue_word: ClassVar[bytes]  # in the message that makes a credential
    thaw_word: ClassVar[bytes]  # in the message that thaws one
    fence_seconds: ClassVar[float] = 1.0  # the shortest that this kind can keep
    pooled: ClassVar[bool] = True  # whether `pool_size` can be set
    removes_at_once: ClassVar[bool] = False  # its last message does more than remove what is barred
    destroy_words: ClassVar[tuple[bytes, ...]]  # in messages of a destroy, in their order
    writers: ClassVar[int] = RECONNECTING_TASKS  # at once, with a connection each
    kills_at_once: ClassVar[int] = 2  # more would measure the two cores
    port: int  # where the admin's calls go

    def governed(self) -> tuple[Secret, Mapping[str, object]]:
        """What an operator would hand over: the secret, and settings beside it."""
        raise NotImplementedError

    @property
    def provider(self) -> Provider:
        """The provider, connected to the server itself."""
        return self.made

    made: Provider

    def through(self, port: int, secret: Secret | None = None, **settings: float) -> Provider:
        """A provider that reaches the server over `port`, or with another admin secret."""
        raise NotImplementedError

    async def rotate(self) -> Secret:
        """Give the admin another password at the server; the address with it."""
        raise NotImplementedError

    async def unrotate(self) -> None:
        """Give the admin its old password back."""
        raise NotImplementedError

    async def accounts(self, handle: str) -> int:
        """How many credentials of that name the server holds."""
        raise NotImplementedError

    @asynccontextmanager
    async def stowed_away(self, issued: Issued) -> AsyncIterator[int | None]:
        """The worst a workload can do to stay unseen: the process that does it, if there is a way.

        Where the target itself knows who holds a connection, there is none.
        """
        assert issued.target_id
        yield None

    async def close(self) -> None:
        """Give back what the kit holds; the server belongs to its fixture."""
        raise NotImplementedError

    def handle(self, tail: str = "") -> str:
        """A handle that was never used, nor by another process: a host's processes know each other by it."""
        return f"sj_test_{os.getpid():07d}{next(_numbers):05d}{tail}"

    def intent(self, *, handle: str | None = None) -> Intent:
        """A fresh intent with the kit's template."""
        now = datetime.now(UTC)
        by, end = now + timedelta(seconds=3), now + timedelta(minutes=5)
        return Intent(handle or self.handle(), self.template, by, end)

    async def absent(self, ref: Ref) -> bool:
        """Whether the provider sees nothing, and nobody else does."""
        seen = await self.provider.observe(ref)
        return seen.presence is Presence.ABSENT and await self.accounts(ref.handle) == 0


@asynccontextmanager
async def working(work: Callable[[], Awaitable[None]], tasks: int) -> AsyncIterator[None]:
    """Run `work` in each of `tasks` tasks, for ever, until the block ends."""
    running = [asyncio.ensure_future(work()) for _ in range(tasks)]
    try:
        yield
    finally:
        # A login that succeeds as it is cancelled loses the cancellation (`asyncio.wait_for`).
        while left := [task for task in running if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.1)


def user_of(issued: Issued) -> str:
    """The name a workload logs in with."""
    return issued.connection["user"]
