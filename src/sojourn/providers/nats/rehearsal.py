"""What the preflight of a NATS target looks at first, and how its canary works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from typing import Final

from nats.aio.client import Client

from sojourn.core.errors import TargetError
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Issued
from sojourn.providers._common.call import one_call
from sojourn.providers._common.preflight import STEP_SECONDS, NotMet, Step, Workload, skew_of
from sojourn.providers.nats.config import Config
from sojourn.providers.nats.nkeys import read_credentials
from sojourn.providers.nats.wire import FAILURES, Connection, logged_in

CANARY_SUBJECT: Final = "sojourn.canary"
CANARY: Final[Mapping[str, object]] = {"subscribe": [CANARY_SUBJECT]}
ROLL_CALL_SECONDS: Final = 0.3
POLL_SECONDS: Final = 0.01


class Rehearsal:
    """Implements `_common.preflight.Rehearsal`."""

    def __init__(
        self,
        reader: Callable[[], AbstractAsyncContextManager[Connection]],
        config: Config,
        clock: WallClock,
    ) -> None:
        self._reader = reader
        self._config = config
        self._clock = clock

    def first(self) -> Sequence[tuple[str, Step]]:
        """Whether this is a server we can govern at all, in order."""
        return (
            ("connect", self._connect),
            ("clock", self._clocks),
            ("servers", self._servers),
            ("account", self._account),
        )

    def now(self) -> datetime:
        """Our clock."""
        return self._clock.now()

    async def log_in(self, issued: Issued) -> Workload:
        """Log in as a canary and subscribe."""
        token, key = read_credentials(issued.secret)
        stack = AsyncExitStack()
        try:
            client = await stack.enter_async_context(
                logged_in(self._config.address, token, key, name="canary")
            )
            await client.subscribe(CANARY_SUBJECT)
            await client.flush()
        except FAILURES.kinds as error:
            await stack.aclose()
            raise TargetError(FAILURES.code_of(error), f"canary: {error}", sent=False) from error
        return Canary(client)

    async def _connect(self) -> str:
        async with one_call("connect", STEP_SECONDS, FAILURES), self._reader():
            return "logged in to the system account"

    async def _clocks(self) -> str:
        async with one_call("clock", STEP_SECONDS, FAILURES), self._reader() as connection:
            theirs = await connection.server_now()
        return skew_of(theirs, self._clock.now())

    async def _servers(self) -> str:
        """In a cluster each server has an account and connections of its own to be asked for."""
        async with one_call("servers", STEP_SECONDS, FAILURES), self._reader() as connection:
            count = await connection.servers(ROLL_CALL_SECONDS)
        if count != 1:
            raise NotMet(f"{count} servers answered", "a cluster is not supported: name a single server")
        return "one"

    async def _account(self) -> str:
        async with one_call("account", STEP_SECONDS, FAILURES), self._reader() as connection:
            claims = await connection.account()
        if claims.get("sub") != self._config.account:
            raise NotMet("the server answered with another account")
        return f"account `{claims.get('name', '')}`"


class Canary:
    """A subscriber that waits for a message nobody sends."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def until_cut(self) -> None:
        """Return when the server has closed the connection."""
        while self._client.is_connected:
            await asyncio.sleep(POLL_SECONDS)

    def hang_up(self) -> None:
        """Drop the connection."""
        transport = self._client._transport
        if transport is not None:
            transport.close()  # type: ignore[no-untyped-call]
