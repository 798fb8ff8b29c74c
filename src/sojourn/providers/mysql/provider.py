"""The provider for MariaDB: one account a session, class A.

Binds the steps of the other files to the port: one deadline a method, one lent connection
a call, failures as `TargetError`. Holds no state about any credential.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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
    Presence,
    Ref,
    RevocationClass,
)
from sojourn.providers._common.call import as_admin, new_password, one_call, time_left
from sojourn.providers._common.pool import Pool
from sojourn.providers._common.preflight import Preflight
from sojourn.providers.mysql import removal, statements, use
from sojourn.providers.mysql.config import Config, configured
from sojourn.providers.mysql.rehearsal import CANARY, Rehearsal
from sojourn.providers.mysql.standing import STANDING, standing_of
from sojourn.providers.mysql.statements import check_handle
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
                statement = statements.issue(
                    intent.handle,
                    self._config.settings.account_host,
                    password=secret,
                    grants=grants(template),
                    connections=template.connection_limit,
                    deadline=await self._deadline(connection, intent),
                )
                call.sent = True
                try:
                    await connection.execute(statement)
                except Answered as error:
                    await _mend(connection, error, template)
                    raise
            return Issued(intent.handle, self._connection_of(intent.handle, template), secret)

    async def locate(self, handle: str) -> str | None:
        """The handle itself, if there is an account of that name: a name is used once for ever."""
        async with one_call("locate", READ_SECONDS, FAILURES):
            check_handle(handle)
            async with self._pool.lend() as connection:
                return handle if await removal.hosts_of(connection, handle) else None

    async def freeze(self, ref: Ref) -> None:
        """Lock the account, then kill every connection of it."""
        async with one_call("freeze", FREEZE_SECONDS, FAILURES) as call:
            check_handle(ref.handle)
            async with self._pool.lend() as connection:
                call.sent = True
                await removal.lock(connection, ref.handle)
                arriving = await removal.logins_under_way(connection)
                await removal.kill(connection, ref.handle, arriving)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Unlock a locked account with a new password, unless it is gone."""
        async with one_call("thaw", self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            check_handle(ref.handle)
            template, secret = parse(intent.template), new_password()
            async with self._pool.lend_to_maker() as connection:
                deadline = await self._deadline(connection, intent)
                host = self._config.settings.account_host
                call.sent = True
                await connection.execute(
                    statements.thaw(ref.handle, host, password=secret, deadline=deadline)
                )
            return Issued(ref.handle, self._connection_of(ref.handle, template), secret)

    async def destroy(self, ref: Ref) -> None:
        """Lock the account, kill every connection of it, drop it, and look again."""
        async with one_call("destroy", DESTROY_SECONDS, FAILURES) as call:
            check_handle(ref.handle)
            async with self._pool.lend() as connection:
                call.sent = True
                await removal.lock(connection, ref.handle)
                arriving = await removal.logins_under_way(connection)
                await removal.kill(connection, ref.handle, set())
                await removal.drop(connection, ref.handle)
                await removal.kill(connection, ref.handle, arriving)

    async def observe(self, ref: Ref) -> Observation:
        """Read accounts and connections by name until the answer is believable."""
        async with one_call("observe", READ_SECONDS, FAILURES):
            check_handle(ref.handle)
            async with self._pool.lend() as connection:
                seen = await _read(connection, ref.handle)
                while seen.presence is Presence.ABSENT and seen.detail["reads"] != removal.CLEAN_READS:
                    await asyncio.sleep(removal.READ_GAP_SECONDS)
                    seen = await _read(connection, ref.handle, reads=int(seen.detail["reads"]) + 1)
                return seen

    async def count_use(self, ref: Ref, since: datetime) -> Counted | None:
        """What the user statistics counted, where the target's settings say that they are on."""
        if not self._config.settings.count_use:
            return None
        async with one_call("count", READ_SECONDS, FAILURES):
            check_handle(ref.handle)
            async with self._pool.lend() as connection:
                return await use.count(connection, ref.handle)

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every account whose name begins with `prefix`."""
        async with one_call("inventory", DESTROY_SECONDS, FAILURES):
            check_handle(prefix)
            async with self._pool.lend() as connection:
                rows = await connection.fetch(statements.INVENTORY, prefix, prefix)
        return [
            Found(str(name), str(name), at.replace(tzinfo=UTC) if isinstance(at, datetime) else None)
            for name, at in rows
        ]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Every account that is not locked and whose name does not begin with `prefix`."""
        async with one_call("standing", DESTROY_SECONDS, FAILURES), self._pool.lend() as connection:
            rows = await connection.fetch(STANDING, prefix, prefix)
        return [standing_of(row, self._config.host) for row in rows]

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

    async def _log_in(self) -> Connection:
        with as_admin(FAILURES):
            return await connect(self._config.address, self._config.address.user, self._password, admin=True)

    async def _deadline(self, connection: Connection, intent: Intent) -> datetime:
        """The deadline by the server's clock, which it read before we read ours."""
        ((theirs,),) = await connection.fetch("SELECT SYSDATE(6)")
        server_now: datetime = theirs.replace(tzinfo=UTC)
        return server_now + time_left(self._fence, intent.issue_by, self._clock.now())

    def _connection_of(self, user: str, template: Template) -> dict[str, str]:
        told = {
            "host": self._config.host,
            "port": str(self._config.port),
            "user": user,
            "tls": self._config.address.tls,
        }
        database = template.database or next(iter(template.schemas), None)
        return {**told, "database": database} if database else told


async def _read(connection: Connection, handle: str, *, reads: int = 1) -> Observation:
    lock = statements.lock_of(handle)
    admin = (await connection.fetch("SELECT SUBSTRING_INDEX(USER(), '@', 1)"))[0][0]
    rows = await connection.fetch(statements.READ, handle, handle, handle, admin, lock)
    accounts, login, connections, issuing = (int(one) for one in rows[0])
    if login or issuing:
        presence = Presence.PRESENT
    elif connections:
        presence = Presence.LINGERING
    else:
        presence = Presence.PRESENT if accounts else Presence.ABSENT
    detail: dict[str, str | int] = {
        "reads": reads,
        "accounts": accounts,
        "login": login,
        "connections": connections,
        "issuing": issuing,
    }
    return Observation(presence, f"mysql.global_priv and processlist by name, {reads} reads", detail)


async def _mend(connection: Connection, error: Answered, template: Template) -> None:
    """Say which statement an operator would have to run, for a grant the admin could not give."""
    number, bar, words = error.words.partition("|")
    if not bar or not number.isdecimal():
        return
    error.args = (words,)
    if error.code == "missing_privilege":
        ((admin,),) = await connection.fetch("SELECT CURRENT_USER()")
        user, _, host = str(admin).rpartition("@")
        who = statements.account(user, host)
        listed = grants(template)
        step = int(number)
        error.mend = (
            f"GRANT {listed[step - 1]} TO {who} WITH GRANT OPTION;"
            if 1 <= step <= len(listed)
            else f"GRANT CREATE USER ON *.* TO {who};"
        )
