"""What the preflight of a Redis target looks at first, and how its canary works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sojourn.core.errors import TargetError
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Issued
from sojourn.providers._common.call import one_call
from sojourn.providers._common.pool import Pool
from sojourn.providers._common.preflight import STEP_SECONDS, NotMet, Step, Workload, skew_of
from sojourn.providers.redis.config import Config
from sojourn.providers.redis.fence import fence_of, server_now
from sojourn.providers.redis.wire import FAILURES, Connection, connect

CANARY_CHANNEL: Final = "sojourn:canary"
CANARY: Final[Mapping[str, object]] = {"channels": [CANARY_CHANNEL], "categories": ["pubsub"]}
OLDEST_MAJOR: Final = 7

# What the admin sends, beside the ACL of its own keys.
NEEDED: Final = (
    ("ACL", "SETUSER", "sojourn", "reset"),
    ("ACL", "DELUSER", "sojourn"),
    ("ACL", "GETUSER", "sojourn"),
    ("ACL", "USERS"),
    ("ACL", "LIST"),
    ("ACL", "SAVE"),
    ("CLIENT", "LIST"),
    ("CLIENT", "ID"),
    ("CLIENT", "KILL", "USER", "sojourn"),
    ("INFO", "server"),
    ("TIME",),
    ("WATCH", "{fence}"),
    ("UNWATCH",),
    ("MULTI",),
    ("EXEC",),
    ("SET", "{fence}", "x"),
    ("GET", "{fence}"),
    ("DEL", "{fence}"),
)


class Rehearsal:
    """Implements `_common.preflight.Rehearsal`."""

    def __init__(self, pool: Pool[Connection], config: Config, clock: WallClock) -> None:
        self._pool = pool
        self._config = config
        self._clock = clock

    def first(self) -> Sequence[tuple[str, Step]]:
        """Whether this is a server we can govern at all, in order."""
        return (
            ("connect", self._connect),
            ("privileges", self._privileges),
            ("server", self._server),
            ("clock", self._clocks),
            ("pooler", self._pooler),
            ("default user", self._default_user),
        )

    def now(self) -> datetime:
        """Our clock."""
        return self._clock.now()

    async def log_in(self, issued: Issued) -> Workload:
        """Log in as a canary and subscribe."""
        try:
            connection = await connect(self._config.address, issued.connection["user"], issued.secret)
            await connection.ask("SUBSCRIBE", CANARY_CHANNEL)
        except FAILURES.kinds as error:
            code = FAILURES.code_of(error)
            raise TargetError(code, f"canary: {error}", sent=False) from error
        return Canary(connection)

    async def _connect(self) -> str:
        async with one_call("connect", STEP_SECONDS, FAILURES), self._pool.lend() as connection:
            who = await connection.ask("ACL", "WHOAMI")
        return f"logged in as `{who}`"

    async def _privileges(self) -> str:
        """`ACL DRYRUN` needs a right of its own, so what it says is asked of the server's own words."""
        fence = fence_of("x")
        async with one_call("privileges", STEP_SECONDS, FAILURES), self._pool.lend() as connection:
            who = str(await connection.ask("ACL", "WHOAMI"))
            missing = []
            for command in NEEDED:
                words = [word.replace("{fence}", fence) for word in command]
                answer = await connection.ask("ACL", "DRYRUN", who, *words)
                if answer != "OK":
                    missing.append("|".join(words[:2]).lower() if command[0] in _GROUPS else words[0].lower())
        if missing:
            rights = " ".join(f"+{one}" for one in missing)
            raise NotMet(
                f"the admin lacks {', '.join(missing)}", f"ACL SETUSER {who} {rights} ~{fence_of('*')}"
            )
        return "every command it will need, tried by ACL DRYRUN"

    async def _server(self) -> str:
        async with one_call("server", STEP_SECONDS, FAILURES), self._pool.lend() as connection:
            told = str(await connection.ask("INFO", "everything"))
        facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
        version = facts.get("redis_version", "0")
        if int(version.partition(".")[0]) < OLDEST_MAJOR:
            raise NotMet(f"Redis {version}", f"Redis {OLDEST_MAJOR} or later is needed")
        if facts.get("cluster_enabled", "0") != "0" or facts.get("redis_mode", "standalone") != "standalone":
            raise NotMet("not a stand-alone server", "a cluster has users at each node: not supported")
        if facts.get("role", "master") != "master":
            raise NotMet("the server is a replica", "name the primary as the target")
        return f"Redis {version}, stand-alone"

    async def _clocks(self) -> str:
        async with one_call("clock", STEP_SECONDS, FAILURES), self._pool.lend() as connection:
            theirs = await server_now(connection)
        return skew_of(theirs, self._clock.now())

    async def _pooler(self) -> str:
        """Two logins have two ids, each keeps its own, and the server lists both."""
        async with one_call("pooler", STEP_SECONDS, FAILURES), self._pool.lend() as first:
            async with self._pool.lend() as second:
                before = [str(await one.ask("CLIENT", "ID")) for one in (first, second)]
                listed = str(await first.ask("CLIENT", "LIST"))
                after = [str(await one.ask("CLIENT", "ID")) for one in (second, first)]
        seen = [f"id={one} " in listed for one in before]
        if before != after[::-1] or before[0] == before[1] or not all(seen):
            raise NotMet(
                f"a proxy answers: connections {before}, then {after[::-1]}",
                "name the Redis server itself as the target: a proxy shares logins",
            )
        return "two logins, two connections"

    async def _default_user(self) -> str:
        """A default user without a password lets everybody in, and back in."""
        async with one_call("default user", STEP_SECONDS, FAILURES), self._pool.lend() as connection:
            users = [str(line).split() for line in await connection.ask("ACL", "LIST")]
        default = next((words for words in users if words[:2] == ["user", "default"]), [])
        if "on" in default and "nopass" in default:
            raise NotMet("the default user needs no password", "ACL SETUSER default off")
        return "off, or with a password"


_GROUPS: Final = frozenset({"ACL", "CLIENT"})


class Canary:
    """A subscriber that waits for a message nobody sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def until_cut(self) -> None:
        """Return when the server has closed the connection."""
        try:
            while True:
                await self._connection.next()
        except FAILURES.kinds:
            return

    def hang_up(self) -> None:
        """Drop the connection."""
        self._connection.drop()
