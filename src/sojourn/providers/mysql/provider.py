"""The provider for MariaDB and MySQL: one account a session, class A.

Binds the steps of the other files to the port: one deadline a method, one lent connection
a call, failures as `TargetError`. Holds no state about any credential.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import ModuleType
from typing import Final

from sojourn.core.lease import Counted
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import (
    Check,
    Found,
    Intent,
    Issued,
    Observation,
    Ref,
    RevocationClass,
)
from sojourn.providers._common.call import as_admin, new_password, one_call, time_left
from sojourn.providers._common.pool import Pool
from sojourn.providers._common.preflight import Preflight
from sojourn.providers.mysql import compound, packet, removal, statements, use
from sojourn.providers.mysql.birth import Birth
from sojourn.providers.mysql.config import Config, configured
from sojourn.providers.mysql.dialect import MYSQL
from sojourn.providers.mysql.names import account, check_handle, user_of, whose_handle
from sojourn.providers.mysql.observation import observe
from sojourn.providers.mysql.rehearsal import CANARY, Rehearsal
from sojourn.providers.mysql.standing import standing_of
from sojourn.providers.mysql.template import Template, grants, parse
from sojourn.providers.mysql.wire import FAILURES, Answered, Connection, connect

ISSUE_MARGIN_SECONDS: Final = 2.0  # the answer's way home, after the fence
DESTROY_SECONDS: Final = 10.0
FREEZE_SECONDS: Final = 5.0
READ_SECONDS: Final = 5.0


class MySQL:
    """Makes an account for each session and takes it away again."""

    def __init__(self, config: Config, clock: WallClock) -> None:
        self._config = config
        self._clock = clock
        self._password = config.address.password
        self._pool = Pool(self._log_in, size=config.settings.pool_size, clean=(Answered,))

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> MySQL:
        """The provider of one target; `secret` is the admin's address.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(configured(settings, templates, secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """A: new logins refused, live connections killed, absence seen by name."""
        return RevocationClass.A

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template that is malformed or asks for more than may be given.

        Raises:
            Invalid: code `bad_template`, naming the member and what was expected.
        """
        parse(template)

    def replace_password(self, password: Secret) -> None:
        """Log the admin in with `password` from now on."""
        self._password = password
        self._pool.forget()

    async def issue(self, intent: Intent) -> Issued:
        """Create the account `intent.handle` before the deadline, or never."""
        async with one_call("issue", self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            check_handle(intent.handle)
            template, secret = parse(intent.template), new_password()
            async with self._pool.lend_to_maker() as connection:
                user = user_of(intent.handle, connection.dialect)
                deadline = await self._deadline(connection, intent)
                birth = self._birth(user, secret, deadline, template)
                call.sent = True
                try:
                    await _way(connection).issue(connection, birth)
                except Answered as error:
                    await _mend(connection, error, template)
                    raise
            return Issued(user, self._connection_of(user, template), secret)

    async def locate(self, handle: str) -> str | None:
        """Its name, if there is an account of that name: a name is used once for ever."""
        async with self._looking("locate", handle) as (connection, user):
            return user if await removal.hosts_of(connection, user) else None

    async def freeze(self, ref: Ref) -> None:
        """Lock the account, then kill every connection of it."""
        async with one_call("freeze", FREEZE_SECONDS, FAILURES) as call:
            check_handle(ref.handle)
            async with self._pool.lend() as connection:
                user = user_of(ref.handle, connection.dialect)
                call.sent = True
                last = await removal.lock(connection, user)
                arriving = await removal.logins_under_way(connection)
                await removal.kill(connection, user, last, arriving)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Unlock a locked account with a new password, unless it is gone."""
        async with one_call("thaw", self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            check_handle(ref.handle)
            template, secret = parse(intent.template), new_password()
            async with self._pool.lend_to_maker() as connection:
                user = user_of(ref.handle, connection.dialect)
                deadline = await self._deadline(connection, intent)
                birth = self._birth(user, secret, deadline, template)
                call.sent = True
                await _way(connection).thaw(connection, birth)
            return Issued(user, self._connection_of(user, template), secret)

    async def destroy(self, ref: Ref) -> None:
        """Lock the account, kill every connection of it, drop it, and look again."""
        async with one_call("destroy", DESTROY_SECONDS, FAILURES) as call:
            check_handle(ref.handle)
            async with self._pool.lend() as connection:
                user = user_of(ref.handle, connection.dialect)
                call.sent = True
                last = await removal.lock(connection, user)
                arriving = await removal.logins_under_way(connection)
                await removal.kill(connection, user, last, set())
                await removal.drop(connection, user)
                await removal.kill(connection, user, last, arriving)

    async def observe(self, ref: Ref) -> Observation:
        """Read accounts and connections by name until the answer is believable."""
        async with self._looking("observe", ref.handle) as (connection, user):
            return await observe(connection, user)

    async def count_use(self, ref: Ref, since: datetime) -> Counted | None:
        """What the server counted, where the target's settings say that it counts."""
        if not self._config.settings.count_use:
            return None
        async with self._looking("count", ref.handle) as (connection, user):
            return await use.count(connection, user)

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every account whose handle begins with `prefix`."""
        start = prefix.replace("_", "")
        async with one_call("inventory", DESTROY_SECONDS, FAILURES):
            check_handle(prefix)
            async with self._pool.lend() as connection:
                kind = connection.dialect
                rows = await connection.fetch(statements.inventory(kind), start, start)
        found = [(whose_handle(str(name), kind), str(name), at) for name, at in rows]
        return [
            Found(handle, name, at.replace(tzinfo=UTC) if isinstance(at, datetime) else None)
            for handle, name, at in found
            if handle.startswith(prefix)
        ]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Every account that can log in and whose handle does not begin with `prefix`."""
        async with one_call("standing", DESTROY_SECONDS, FAILURES), self._pool.lend() as connection:
            kind = connection.dialect
            rows = await connection.fetch(statements.standing(kind))
        others = [row for row in rows if not whose_handle(str(row[0]), kind).startswith(prefix)]
        return [standing_of(row, self._config.host) for row in others]

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Try everything a session will need, with canaries that never stay behind."""
        rehearsal = Rehearsal(self._pool, self._config, self._clock)
        run = Preflight(self, rehearsal, self._config.templates, fence_seconds=self._fence)
        return await run.run(prefix, CANARY)

    async def close(self) -> None:
        """Close the admin's connections."""
        self._pool.close()

    @property
    def _fence(self) -> float:
        return self._config.settings.issue_seconds

    @asynccontextmanager
    async def _looking(self, verb: str, handle: str) -> AsyncIterator[tuple[Connection, str]]:
        """A connection for reads, and the name of a handle's account there."""
        async with one_call(verb, READ_SECONDS, FAILURES):
            check_handle(handle)
            async with self._pool.lend() as connection:
                yield connection, user_of(handle, connection.dialect)

    async def _log_in(self) -> Connection:
        with as_admin(FAILURES):
            return await connect(self._config.address, self._config.address.user, self._password, admin=True)

    async def _deadline(self, connection: Connection, intent: Intent) -> datetime:
        """The deadline by the server's clock, which it read before we read ours."""
        ((theirs,),) = await connection.fetch("SELECT SYSDATE(6)")
        server_now: datetime = theirs.replace(tzinfo=UTC)
        return server_now + time_left(self._fence, intent.issue_by, self._clock.now())

    def _birth(self, user: str, secret: Secret, deadline: datetime, template: Template) -> Birth:
        host, limit = self._config.settings.account_host, template.connection_limit
        return Birth(user, host, secret, deadline, grants(template), limit)

    def _connection_of(self, user: str, template: Template) -> dict[str, str]:
        told = {
            "host": self._config.host,
            "port": str(self._config.port),
            "user": user,
            "tls": self._config.address.tls,
        }
        database = template.database or next(iter(template.schemas), None)
        return {**told, "database": database} if database else told


def _way(connection: Connection) -> ModuleType:
    """How accounts are made there: the one place that asks which kind of server it is."""
    return packet if connection.dialect is MYSQL else compound


async def _mend(connection: Connection, error: Answered, template: Template) -> None:
    """Say which statement an operator would have to run, for a grant the admin could not give."""
    if error.step is None or error.code != "missing_privilege":
        return
    ((admin,),) = await connection.fetch("SELECT CURRENT_USER()")
    user, _, host = str(admin).rpartition("@")
    who, listed = account(user, host), grants(template)
    error.mend = (
        f"GRANT {listed[error.step - 1]} TO {who} WITH GRANT OPTION;"
        if 1 <= error.step <= len(listed)
        else f"GRANT CREATE USER ON *.* TO {who};"
    )
