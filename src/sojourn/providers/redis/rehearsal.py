"""What the preflight of a Redis target looks at first, and how its canary works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Issued
from sojourn.providers._common.pool import Pool
from sojourn.providers._common.preflight import NotMet, Step, Workload, skew_of
from sojourn.providers._common.rehearsal import PooledRehearsal
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


class Rehearsal(PooledRehearsal[Connection]):
    """Implements `_common.preflight.Rehearsal`."""

    def __init__(self, pool: Pool[Connection], config: Config, clock: WallClock) -> None:
        super().__init__(pool, clock, FAILURES)
        self._config = config

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

    async def log_in(self, issued: Issued) -> Workload:
        """Log in as a canary and subscribe."""
        with self.as_canary():
            connection = await connect(self._config.address, issued.connection["user"], issued.secret)
            await connection.ask("SUBSCRIBE", CANARY_CHANNEL)
        return self.at_work(connection, lambda: _listen(connection))

    async def _connect(self) -> str:
        async with self.step("connect") as connection:
            who = await connection.ask("ACL", "WHOAMI")
        return f"logged in as `{who}`"

    async def _privileges(self) -> str:
        """`ACL DRYRUN` needs a right of its own, so what it says is asked of the server's own words."""
        fence = fence_of("x")
        async with self.step("privileges") as connection:
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
        async with self.step("server") as connection:
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
        async with self.step("clock") as connection:
            theirs = await server_now(connection)
        return skew_of(theirs, self._clock.now())

    async def _pooler(self) -> str:
        """Two logins have two ids, each keeps its own, and the server lists both."""
        async with self.step("pooler") as first:
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
        async with self.step("default user") as connection:
            users = [str(line).split() for line in await connection.ask("ACL", "LIST")]
        default = next((words for words in users if words[:2] == ["user", "default"]), [])
        if "on" in default and "nopass" in default:
            raise NotMet("the default user needs no password", "ACL SETUSER default off")
        return "off, or with a password"


_GROUPS: Final = frozenset({"ACL", "CLIENT"})


async def _listen(connection: Connection) -> None:
    """Wait for messages that nobody sends."""
    while True:
        await connection.next()
