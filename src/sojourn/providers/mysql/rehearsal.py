"""What the preflight of a MariaDB or MySQL target looks at first, and how its canary works."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Final

from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Issued
from sojourn.providers._common.pool import Pool
from sojourn.providers._common.preflight import NotMet, Step, Workload, skew_of
from sojourn.providers._common.rehearsal import PooledRehearsal
from sojourn.providers.mysql import use
from sojourn.providers.mysql.config import Config
from sojourn.providers.mysql.names import account
from sojourn.providers.mysql.statements import anonymous
from sojourn.providers.mysql.wire import FAILURES, Answered, Connection, ServerError, connect

CANARY: Final[Mapping[str, object]] = {"connection_limit": 2}
LONG_SECONDS: Final = 30  # what the canary's statement would take if nobody killed it

_SERVER: Final = "SELECT VERSION(), @@version_comment, @@read_only"


class Rehearsal(PooledRehearsal[Connection]):
    """Implements `_common.preflight.Rehearsal`."""

    def __init__(self, pool: Pool[Connection], config: Config, clock: WallClock) -> None:
        super().__init__(pool, clock, FAILURES)
        self._config = config

    def first(self) -> Sequence[tuple[str, Step]]:
        """Whether this is a server we can govern at all, in order."""
        counting = (("use is counted", self._counting),) if self._config.settings.count_use else ()
        return (
            ("connect", self._connect),
            ("clock", self._clocks),
            ("pooler", self._pooler),
            ("privileges", self._privileges),
            ("anonymous accounts", self._anonymous),
            *counting,
        )

    async def log_in(self, issued: Issued) -> Workload:
        """Log in as a canary, ready to sleep in a statement."""
        with self.as_canary():
            connection = await connect(self._config.address, issued.connection["user"], issued.secret)
        return self.at_work(connection, lambda: connection.fetch(f"SELECT SLEEP({LONG_SECONDS})"))

    async def _connect(self) -> str:
        async with self.step("connect") as connection:
            ((version, comment, read_only),) = await connection.fetch(_SERVER)
            kind = connection.dialect
            found = [(await connection.fetch(query))[0][0] for query, _, _ in kind.unfit]
        oldest = ".".join(map(str, kind.oldest))
        if not re.fullmatch(kind.brand, f"{comment} {version}".lower(), re.DOTALL):
            raise NotMet(f"{comment} {version} is not {kind.name}", "MariaDB and MySQL are supported")
        if tuple(int(part) for part in str(version).split("-")[0].split(".")[:2]) < kind.oldest:
            raise NotMet(f"{kind.name} {version}", f"{kind.name} {oldest} or later is needed")
        if read_only:
            raise NotMet("the server is read-only", "name the primary as the target")
        for number, (_, words, mend) in zip(found, kind.unfit, strict=True):
            if int(number):
                raise NotMet(words, mend)
        return f"{kind.name} {version}"

    async def _clocks(self) -> str:
        async with self.step("clock") as connection:
            ((theirs,),) = await connection.fetch("SELECT SYSDATE(6)")
        return skew_of(theirs.replace(tzinfo=UTC), self._clock.now())

    async def _pooler(self) -> str:
        """Who answers a login announces a connection id: the one of the process list, or its own."""
        query = "SELECT ID FROM information_schema.processlist WHERE ID = CONNECTION_ID()"
        async with self.step("pooler") as first:
            async with self._pool.lend() as second:
                told = [first.announced_id, second.announced_id]
                served = [int((await one.fetch(query))[0][0]) for one in (first, second)]
        if told != served or served[0] == served[1]:
            raise NotMet(
                f"a pooler answers: told connections {told}, served by {served}",
                "name the server itself as the target: a pooler keeps dead logins alive",
            )
        return "two logins, two connections, as announced"

    async def _privileges(self) -> str:
        async with self.step("privileges") as connection:
            ((name,),) = await connection.fetch("SELECT CURRENT_USER()")
            user, _, host = str(name).rpartition("@")
            who = account(user, host)
            given = " ".join(str(row[0]) for row in await connection.fetch("SHOW GRANTS")).upper()
            everything = "ALL PRIVILEGES ON *.*" in given
            kind = connection.dialect
            missing = [one for one in kind.needed if one not in given and not everything]
            mends = [f"GRANT {', '.join(missing)} ON *.* TO {who};"] if missing else []
            try:
                await connection.fetch(f"SELECT * FROM {kind.accounts} LIMIT 1")
            except ServerError:
                mends.append(f"GRANT {kind.readable} TO {who};")
        if mends:
            raise NotMet("the admin may not make accounts, see them, or end connections", " ".join(mends))
        return "all privileges" if everything else ", ".join(kind.needed)

    async def _counting(self) -> str:
        async with self.step("counting") as connection:
            mend = connection.dialect.count_mend
            counting = await _counts(connection)
        if not counting:
            raise NotMet("the server counts nobody's use", mend)
        return "statements and rows by account"

    async def _anonymous(self) -> str:
        """An account without a name takes the logins of ours that come from its host."""
        async with self.step("anonymous") as connection:
            query = anonymous(connection.dialect)
            hosts = [str(row[0]) for row in await connection.fetch(query)]
        if hosts:
            drops = " ".join(f"DROP USER {account('', host)};" for host in hosts)
            raise NotMet(f"anonymous accounts at {hosts}: they shadow those of sessions", drops)
        return "none"


async def _counts(connection: Connection) -> bool:
    """A server that does not let us read its counts counts nothing for us."""
    try:
        return await use.is_counting(connection)
    except Answered:
        return False
