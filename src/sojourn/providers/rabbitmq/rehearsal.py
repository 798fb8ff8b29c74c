"""What the preflight of a RabbitMQ target looks at first, and how its canary works."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from sojourn.core.errors import TargetError
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Issued
from sojourn.providers._common.call import one_call
from sojourn.providers._common.preflight import STEP_SECONDS, NotMet, Step, Workload, skew_of
from sojourn.providers.rabbitmq.amqp import Amqp, AmqpError
from sojourn.providers.rabbitmq.api import FAILURES, Api
from sojourn.providers.rabbitmq.config import Config

OLDEST: Final = (3, 10)
_REFUSED: Final = frozenset({403, 530})  # access refused, not allowed


class Rehearsal:
    """Implements `_common.preflight.Rehearsal`."""

    def __init__(self, api: Api, config: Config, clock: WallClock) -> None:
        self._api = api
        self._config = config
        self._clock = clock

    def first(self) -> Sequence[tuple[str, Step]]:
        """Whether this is a broker we can govern at all, in order."""
        return (
            ("connect", self._connect),
            ("privileges", self._privileges),
            ("clock", self._clocks),
            ("nodes", self._nodes),
            ("fence", self._fence),
        )

    def now(self) -> datetime:
        """Our clock."""
        return self._clock.now()

    async def log_in(self, issued: Issued) -> Workload:
        """Log in as a canary over AMQP."""
        told = issued.connection
        try:
            reader, writer = await asyncio.open_connection(
                self._config.host, self._config.port, ssl=self._context()
            )
            amqp = Amqp(reader, writer)
            try:
                await amqp.log_in(told["user"], issued.secret, told["vhost"])
            except BaseException:
                amqp.hang_up()
                raise
        except AmqpError as error:
            code = "login_refused" if error.code in _REFUSED else "target_refused"
            raise TargetError(code, f"canary: {error}", sent=False) from error
        except (OSError, EOFError) as error:
            raise TargetError("target_unreachable", f"canary: {error!r}", sent=False) from error
        return amqp

    def _context(self) -> ssl.SSLContext | None:
        return replace(self._config.address, tls=self._config.tls).context()

    async def _connect(self) -> str:
        async with one_call("connect", STEP_SECONDS, FAILURES):
            overview = await self._api.get("overview") or {}
        version = str(overview.get("rabbitmq_version") or overview.get("management_version") or "0")
        if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
            raise NotMet(f"RabbitMQ {version}", f"RabbitMQ {OLDEST[0]}.{OLDEST[1]} or later is needed")
        return f"RabbitMQ {version}"

    async def _privileges(self) -> str:
        async with one_call("privileges", STEP_SECONDS, FAILURES):
            me = await self._api.get("whoami") or {}
        if "administrator" not in me.get("tags", []):
            name = me.get("name", "ADMIN")
            raise NotMet("the admin may not make users", f"rabbitmqctl set_user_tags {name} administrator")
        return "administrator"

    async def _clocks(self) -> str:
        async with one_call("clock", STEP_SECONDS, FAILURES):
            date = await self._api.date()
        return skew_of(parsedate_to_datetime(date), self._clock.now())

    async def _nodes(self) -> str:
        """A node that is down may hold connections that nobody sees."""
        async with one_call("nodes", STEP_SECONDS, FAILURES):
            nodes = await self._api.get("nodes") or []
        down = [str(node.get("name")) for node in nodes if not node.get("running")]
        if down:
            raise NotMet(
                f"nodes that are down: {', '.join(down)}", "start them, or forget them in the cluster"
            )
        return f"{len(nodes)} running"

    async def _fence(self) -> str:
        """How long the server waits for a request on a connection that was just opened."""
        limit = self._config.settings.issue_seconds
        mend = f"in rabbitmq.conf: management.tcp.request_timeout = {round((limit - 0.5) * 1000)}"
        async with one_call("fence", limit + STEP_SECONDS, FAILURES):
            took = await self._api.patience(limit)
        if took is None:
            raise NotMet(f"a silent connection is kept for more than {limit:g} s", mend)
        return f"a silent connection is closed after {took:.1f} s"
