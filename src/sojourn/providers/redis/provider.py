"""The provider for Redis: one ACL user a session, class A.

Binds the steps of the other files to the port: one deadline a method, one lent connection
a call, failures as `TargetError`. Holds no state about any credential.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Check, Found, Intent, Issued, Observation, Presence, Ref, RevocationClass
from sojourn.providers._common.call import as_admin, new_password, one_call, time_left
from sojourn.providers._common.pool import Pool
from sojourn.providers._common.preflight import Preflight
from sojourn.providers.redis.config import Config, configured
from sojourn.providers.redis.fence import fence_of, run_fenced, server_now
from sojourn.providers.redis.rehearsal import CANARY, Rehearsal
from sojourn.providers.redis.standing import standing_users
from sojourn.providers.redis.template import parse, rules
from sojourn.providers.redis.wire import FAILURES, Answered, Connection, connect, raise_inside

ISSUE_MARGIN_SECONDS: Final = 2.0  # the answer's way home, after the fence
DESTROY_SECONDS: Final = 10.0
FREEZE_SECONDS: Final = 5.0
READ_SECONDS: Final = 5.0
CLEAN_READS: Final = 3
READ_GAP_SECONDS: Final = 0.002

_HANDLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_USER: Final = re.compile(r"(?:^| )user=(\S*)")
_NO_FILE: Final = "not configured to use an ACL file"


class Redis:
    """Makes an ACL user for each session and takes it away again."""

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
    ) -> Redis:
        """The provider of one target; `secret` is the admin's address.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(configured(settings, templates, secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """A: rights taken, connections closed, absence seen by name."""
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
        """Create the user `intent.handle` before the deadline, or never."""
        return await self._make("issue", intent.handle, intent, must_exist=False)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Give a stripped user its rights back, with a new password, unless it is gone."""
        return await self._make("thaw", ref.handle, intent, must_exist=True)

    async def _make(self, verb: str, handle: str, intent: Intent, *, must_exist: bool) -> Issued:
        async with one_call(verb, self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            _check_handle(handle)
            template, secret = parse(intent.template), new_password()
            async with self._pool.lend_to_maker() as connection:
                deadline = await self._deadline(connection, intent)
                command = ("ACL", "SETUSER", handle, *rules(template, secret))
                await run_fenced(
                    connection, call, handle, [command], deadline=deadline, must_exist=must_exist
                )
            return Issued(handle, self._connection_of(handle), secret)

    async def locate(self, handle: str) -> str | None:
        """The handle itself, if there is a user of that name: a name is used once for ever."""
        async with one_call("locate", READ_SECONDS, FAILURES):
            _check_handle(handle)
            async with self._pool.lend() as connection:
                return handle if await connection.ask("ACL", "GETUSER", handle) is not None else None

    async def freeze(self, ref: Ref) -> None:
        """Take every right and password, which also stops what is under way, and cut it off."""
        async with one_call("freeze", FREEZE_SECONDS, FAILURES) as call:
            _check_handle(ref.handle)
            async with self._pool.lend() as connection:
                # A thaw on its way would undo it: its fence goes first.
                await connection.ask("DEL", fence_of(ref.handle))
                commands = [("ACL", "SETUSER", ref.handle, "reset"), ("CLIENT", "KILL", "USER", ref.handle)]
                deadline = await server_now(connection) + timedelta(seconds=FREEZE_SECONDS)
                try:
                    await run_fenced(
                        connection, call, ref.handle, commands, deadline=deadline, must_exist=True
                    )
                except TargetError as error:
                    if error.code != "missing_object":
                        raise
                    return
                await _save(connection)

    async def destroy(self, ref: Ref) -> None:
        """Stop what is on its way, then strip, cut off and remove the user in one transaction."""
        async with one_call("destroy", DESTROY_SECONDS, FAILURES) as call:
            _check_handle(ref.handle)
            async with self._pool.lend() as connection:
                call.sent = True
                await connection.ask("DEL", fence_of(ref.handle))
                if await connection.ask("ACL", "GETUSER", ref.handle) is not None:
                    answers = await connection.ask_all(
                        [
                            ("MULTI",),
                            ("ACL", "SETUSER", ref.handle, "reset"),
                            ("CLIENT", "KILL", "USER", ref.handle),
                            ("ACL", "DELUSER", ref.handle),
                            ("EXEC",),
                        ]
                    )
                    raise_inside(answers[-1])
                # A user that an ACL file still holds would be back after the next restart.
                await _save(connection)

    async def observe(self, ref: Ref) -> Observation:
        """Ask for the user and list all connections, until the answer is believable."""
        async with one_call("observe", READ_SECONDS, FAILURES):
            _check_handle(ref.handle)
            async with self._pool.lend() as connection:
                seen = await _read(connection, ref.handle, reads=1)
                while seen.presence is Presence.ABSENT and seen.detail["reads"] != CLEAN_READS:
                    await asyncio.sleep(READ_GAP_SECONDS)
                    seen = await _read(connection, ref.handle, reads=int(seen.detail["reads"]) + 1)
                return seen

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every user whose name begins with `prefix`; Redis does not say when it was made."""
        async with one_call("inventory", DESTROY_SECONDS, FAILURES):
            _check_handle(prefix)
            async with self._pool.lend() as connection:
                names = sorted(str(one) for one in await connection.ask("ACL", "USERS"))
        return [Found(name, name, None) for name in names if name.startswith(prefix)]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Every user that is on and whose name does not begin with `prefix`."""
        async with one_call("standing", DESTROY_SECONDS, FAILURES), self._pool.lend() as connection:
            return await standing_users(connection, prefix, self._config.host)

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
        address = self._config.address
        with as_admin(FAILURES):
            return await connect(address, address.user, self._password)

    async def _deadline(self, connection: Connection, intent: Intent) -> datetime:
        """The deadline by the server's clock, which it read before we read ours."""
        theirs = await server_now(connection)
        return theirs + time_left(self._fence, intent.issue_by, self._clock.now())

    def _connection_of(self, user: str) -> dict[str, str]:
        told = {"host": self._config.host, "port": str(self._config.port), "user": user}
        return {**told, "tls": self._config.address.tls}


async def _read(connection: Connection, handle: str, *, reads: int) -> Observation:
    user, clients = await connection.ask_all([("ACL", "GETUSER", handle), ("CLIENT", "LIST")])
    there, login = user is not None, user is not None and "on" in _flags(user)
    live = sum(1 for line in str(clients).splitlines() if handle in _USER.findall(line))
    if login:
        presence = Presence.PRESENT
    elif live:
        presence = Presence.LINGERING
    else:
        presence = Presence.PRESENT if there else Presence.ABSENT
    detail: dict[str, str | int] = {"reads": reads, "login": int(login), "connections": live}
    return Observation(presence, f"ACL GETUSER and CLIENT LIST by name, {reads} reads", detail)


def _flags(user: Sequence[object]) -> Sequence[object]:
    """The flags in the answer of `ACL GETUSER`: names and values in turn."""
    found = user[list(user).index("flags") + 1]
    return list(found) if isinstance(found, list | tuple | set) else []


async def _save(connection: Connection) -> None:
    try:
        await connection.ask("ACL", "SAVE")
    except Answered as error:
        if _NO_FILE not in str(error):
            raise


def _check_handle(handle: str) -> None:
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", "expected 1 to 64 letters, digits, `_`, `.` or `-`")
