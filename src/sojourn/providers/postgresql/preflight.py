"""Whether a target can really be governed: everything a session needs, tried on a canary.

Each check says how long it took and, when it fails, what would mend it. A canary that was
sent is always destroyed and observed, whatever failed on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol
from uuid import uuid4

from sojourn.core.errors import TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Check, Intent, Issued, Observation, Presence, Ref
from sojourn.providers.postgresql import use
from sojourn.providers.postgresql.admin import Admin, checked_time, hang_up
from sojourn.providers.postgresql.config import Config
from sojourn.providers.postgresql.failures import one_call
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, Connection, PostgresError

OLDEST_MAJOR: Final = 14
SKEW_WARN_SECONDS: Final = 5.0
STEP_SECONDS: Final = 5.0
CANARY_LIFE: Final = timedelta(minutes=5)
CUT_SECONDS: Final = 2.0  # class A: live work is stopped within this
_UNANSWERED: Final = frozenset({"target_timeout", "target_unreachable"})
LONG_SECONDS: Final = 30  # what the canary's statement would take if nobody cut it

_RIGHTS: Final = """
SELECT rolsuper AS super, rolcreaterole AS createrole, quote_ident(rolname) AS name,
  pg_has_role(rolname, 'pg_signal_backend', 'USAGE') AS signals, pg_is_in_recovery() AS standby
FROM pg_roles WHERE rolname = current_user"""


class _Now(Protocol):
    def now(self) -> datetime: ...


class _Governed(Protocol):
    """What preflight asks of the provider it tries."""

    async def issue(self, intent: Intent) -> Issued: ...
    async def rehearse(self, intent: Intent) -> None: ...
    async def destroy(self, ref: Ref) -> None: ...
    async def observe(self, ref: Ref) -> Observation: ...


class _Failed(Exception):
    """A check did not hold; carries what was seen and what would mend it."""

    def __init__(self, detail: str, mend: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.mend = mend


class Preflight:
    """One run over one target."""

    def __init__(self, provider: _Governed, admin: Admin, config: Config, clock: _Now) -> None:
        self._provider = provider
        self._admin = admin
        self._config = config
        self._clock = clock
        self._checks: list[Check] = []

    async def run(self, prefix: str) -> list[Check]:
        """Try everything; the first failure of a step that others need ends the run."""
        handle = f"{prefix}canary_{uuid4().hex[:12]}"
        first = (("connect", self._connect), ("clock", self._clock_check), ("pooler", self._pooler))
        for name, step in (*first, ("privileges", self._privileges)):
            if not await self._try(name, step):
                return self._checks
        if self._config.count_use:
            await self._try("use is counted", self._counting)
        for number, name in enumerate(self._config.templates):
            await self._try(f"template {name}", partial(self._template, name, f"{handle}_{number}"))
        await self._with_canary(handle)
        return self._checks

    async def _with_canary(self, handle: str) -> None:
        issued: Issued | None = None
        answered = False

        async def create() -> str:
            nonlocal issued, answered
            try:
                issued = await self._provider.issue(self._intent(handle, {"database": self._config.database}))
            except TargetError as error:
                answered = not error.sent or error.code not in _UNANSWERED
                raise
            answered = True
            return f"role `{handle}` with OID {issued.target_id}"

        try:
            if await self._try("canary created", create) and issued is not None:
                await self._use_and_cut(handle, issued)
        finally:
            # A cancelled preflight runs this too. An issue without an answer may still land, but
            # not after its fence; only then does an absence count.
            if not answered:
                await asyncio.sleep(self._config.issue_seconds)
            await self._remove(Ref(handle, issued.target_id if issued else None))

    async def _use_and_cut(self, handle: str, issued: Issued) -> None:
        live: list[Connection] = []

        async def log_in() -> str:
            async with one_call("canary login", STEP_SECONDS):
                live.append(await self._log_in(handle, issued.secret))
                who = await live[0].fetchval("SELECT session_user")
            return f"a statement ran as `{who}`"

        if not await self._try("canary logs in", log_in):
            return
        running = asyncio.create_task(_run_long(live[0]))
        try:
            await self._try("canary cut while it works", partial(self._cut, issued, handle, running))
            await self._try("new login refused", partial(self._refused, handle, issued.secret))
        finally:
            live[0].terminate()
            await asyncio.wait([running], timeout=CUT_SECONDS)
            running.cancel()

    async def _cut(self, issued: Issued, handle: str, running: asyncio.Task[str]) -> str:
        await self._until_busy(issued.target_id)
        begun = _tick()
        await self._provider.destroy(Ref(handle, issued.target_id))
        done, _ = await asyncio.wait([running], timeout=CUT_SECONDS)
        if not done:
            raise _Failed(f"a running statement outlived its role by {CUT_SECONDS:g} s")
        return f"{running.result()}, {1000 * (_tick() - begun):.0f} ms after destroy began"

    async def _until_busy(self, target_id: str) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1"
        async with one_call("canary at work", STEP_SECONDS), self._admin.lend() as connection:
            while not await connection.fetchval(query, int(target_id)):
                await asyncio.sleep(0.005)

    async def _refused(self, handle: str, secret: Secret) -> str:
        try:
            async with one_call("second login", STEP_SECONDS):
                connection = await self._log_in(handle, secret)
        except TargetError as error:
            if error.code == "admin_login_refused":
                return "login refused"
            raise
        connection.terminate()
        raise _Failed("the canary could log in after it was destroyed", "something between us keeps logins")

    async def _remove(self, ref: Ref) -> None:
        async def prove() -> str:
            await self._provider.destroy(ref)
            seen = await self._provider.observe(ref)
            if seen.presence is not Presence.ABSENT:
                raise _Failed(
                    f"the canary is {seen.presence}: {dict(seen.detail)}", f"DROP ROLE {ref.handle}"
                )
            return f"absent: {seen.method}"

        await self._try("canary gone", prove)

    async def _connect(self) -> str:
        async with one_call("connect", STEP_SECONDS), self._admin.lend() as connection:
            version = connection.get_server_version()
        if version.major < OLDEST_MAJOR:
            raise _Failed(f"PostgreSQL {version.major}", f"PostgreSQL {OLDEST_MAJOR} or later is needed")
        return f"PostgreSQL {version.major}.{version.minor}"

    async def _clock_check(self) -> str:
        async with one_call("clock", STEP_SECONDS), self._admin.lend() as connection:
            theirs = checked_time(await connection.fetchval("SELECT clock_timestamp()"))
        skew = (theirs - self._clock.now()).total_seconds()
        if abs(skew) > SKEW_WARN_SECONDS:
            # VALID UNTIL is judged by the server's clock, so the latest end would move with it.
            raise _Failed(f"the server's clock differs by {skew:+.1f} s", "synchronise both clocks by NTP")
        return f"the server's clock differs by {1000 * skew:+.0f} ms"

    async def _pooler(self) -> str:
        async with one_call("pooler", STEP_SECONDS), _two(self._admin, self._config.database) as pair:
            pids = [await one.fetchval("SELECT pg_backend_pid()") for one in pair]
            told = [one.get_server_pid() for one in pair]
        if pids != told or pids[0] == pids[1]:
            raise _Failed(
                f"a pooler answers: told backends {told}, served by {pids}",
                "name the PostgreSQL server itself as the target: a pooler keeps dead logins alive",
            )
        return "two logins, two backends, as announced"

    async def _privileges(self) -> str:
        async with one_call("privileges", STEP_SECONDS), self._admin.lend() as connection:
            row = await connection.fetchrow(_RIGHTS)
        if row is None:
            raise _Failed("the admin's own role cannot be read")
        if row["standby"]:
            raise _Failed("the server is a standby", "name the primary as the target")
        if row["super"]:
            return "superuser"
        missing = []
        if not row["createrole"]:
            missing.append(f"ALTER ROLE {row['name']} CREATEROLE;")
        if not row["signals"]:
            missing.append(f"GRANT pg_signal_backend TO {row['name']};")
        if missing:
            raise _Failed("the admin may not make roles or end their connections", " ".join(missing))
        return "CREATEROLE and pg_signal_backend"

    async def _counting(self) -> str:
        try:
            async with one_call("counting", STEP_SECONDS), self._admin.lend() as connection:
                counting = await use.is_counting(connection, self._clock.now())
        except TargetError as error:  # not preloaded, or too old
            raise _Failed(str(error), use.MEND) from error
        if not counting:
            raise _Failed("pg_stat_statements does not count everything for the admin's database", use.MEND)
        return "pg_stat_statements"

    async def _template(self, name: str, handle: str) -> str:
        await self._provider.rehearse(self._intent(handle, self._config.templates[name]))
        return "granted and rolled back"

    async def _log_in(self, handle: str, secret: Secret) -> Connection:
        return await self._admin.login(self._config.database, user=handle, secret=secret)

    def _intent(self, handle: str, template: Mapping[str, object]) -> Intent:
        now = self._clock.now()
        by = now + timedelta(seconds=self._config.issue_seconds)
        return Intent(handle, template, by, now + CANARY_LIFE)

    async def _try(self, name: str, step: Callable[[], Awaitable[str]]) -> bool:
        begun = _tick()
        ok, mend = True, ""
        try:
            detail = await step()
        except _Failed as error:
            ok, detail, mend = False, error.detail, error.mend
        except TargetError as error:
            ok, detail, mend = False, str(error), _hint(error)
        self._checks.append(Check(name, ok, 1000 * (_tick() - begun), detail, mend))
        return ok


@asynccontextmanager
async def _two(admin: Admin, database: str) -> AsyncIterator[list[Connection]]:
    pair: list[Connection] = []
    try:
        for _ in range(2):
            pair.append(await admin.login(database))
        yield pair
    finally:
        for one in pair:
            await hang_up(one)


async def _run_long(connection: Connection) -> str:
    try:
        await connection.execute(f"SELECT pg_sleep({LONG_SECONDS})")
    except (PostgresError, *DRIVER_ERRORS):
        return "the running statement was ended"
    return "the statement ran to its end"


def _hint(error: TargetError) -> str:
    cause = error.__cause__
    hint = getattr(cause, "hint", None) if isinstance(cause, PostgresError) else None
    return f"{hint};" if hint else ""


def _tick() -> float:
    return asyncio.get_running_loop().time()
