"""The provider for PostgreSQL: one role a session, class A.

Binds the steps of the other files to the port: one deadline a method, one lent
connection a call, failures as `TargetError`. Holds no state about any credential.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.lease import Counted
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.core.window import show
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Check, Found, Intent, Issued, Observation, Ref, RevocationClass
from sojourn.providers.postgresql import blocks, narrowing, removal, use
from sojourn.providers.postgresql.admin import Admin, load_plan
from sojourn.providers.postgresql.config import Config, configured
from sojourn.providers.postgresql.failures import one_call
from sojourn.providers.postgresql.names import check_handle
from sojourn.providers.postgresql.observation import MARK_PREFIX, find_marked, mark_of, observe
from sojourn.providers.postgresql.preflight import Preflight
from sojourn.providers.postgresql.scram import new_password, verifier
from sojourn.providers.postgresql.standing import STANDING, standing_of
from sojourn.providers.postgresql.template import Template, grants, parse
from sojourn.providers.postgresql.wire import Connection

ISSUE_MARGIN_SECONDS: Final = 2.0  # the answer's way home, after the fence
DESTROY_SECONDS: Final = 10.0
FREEZE_SECONDS: Final = 5.0
READ_SECONDS: Final = 5.0
MAX_OID: Final = 2**32 - 1
INVENTORY_LIMIT: Final = 100_000

_INVENTORY: Final = f"""
SELECT r.oid, r.rolname, shobj_description(r.oid, 'pg_authid') AS mark FROM pg_roles r
WHERE starts_with(r.rolname, $1) OR starts_with(shobj_description(r.oid, 'pg_authid'), '{MARK_PREFIX}' || $1)
ORDER BY r.oid LIMIT {INVENTORY_LIMIT}"""


class PostgreSQL:
    """Makes a login role for each session and takes it away again."""

    def __init__(self, config: Config, clock: WallClock) -> None:
        self._config = config
        self._clock = clock
        self._admin = Admin(config)

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> PostgreSQL:
        """The provider of one target; `secret` is the admin's DSN.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(configured(settings, templates, secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """A: new logins refused, live connections ended, absence verified by OID."""
        return RevocationClass.A

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template that is malformed or asks for more than may be given.

        Raises:
            Invalid: code `bad_template`, naming the member and what was expected.
        """
        parse(template, self._config.all_databases())

    def replace_password(self, password: Secret) -> None:
        """Log the admin in with `password` from now on."""
        self._admin.replace_password(password)

    async def issue(self, intent: Intent) -> Issued:
        """Create the role `intent.handle` before the deadline, or never."""
        async with one_call("issue", self._config.issue_seconds + ISSUE_MARGIN_SECONDS) as call:
            check_handle(intent.handle)
            template = parse(intent.template, self._config.all_databases())
            secret = new_password()
            place = template.database
            async with self._admin.lend_to_maker(place) as connection, self._admin.turn(place):
                plan = self._plan(intent, template, secret)
                statement = await self._fenced(connection, blocks.ISSUE, plan, issue_by=intent.issue_by)
                call.sent = True
                await connection.execute(statement)
                made = await connection.fetchval(
                    "SELECT current_setting('sojourn.made') FROM set_config('sojourn.plan', '', false)"
                )
            return Issued(str(made), self._connection_of(intent.handle, place), secret)

    async def locate(self, handle: str) -> str | None:
        """The OID of the role we made as `handle`; a stranger of that name is not ours."""
        async with one_call("locate", READ_SECONDS):
            check_handle(handle)
            async with self._admin.lend() as connection:
                oid = await find_marked(connection, handle)
        return None if oid is None else str(oid)

    async def freeze(self, ref: Ref) -> None:
        """Turn logins off, commit, then end every connection of the role."""
        async with one_call("freeze", FREEZE_SECONDS) as call, self._admin.lend() as connection:
            oid = await _oid_of(connection, ref)
            if oid is None:
                return
            call.sent = True
            await removal.bar(connection, oid, final=False)
            await removal.cut(connection, oid)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Let a frozen role log in again, with a new password, unless it is being destroyed."""
        async with one_call("thaw", self._config.issue_seconds + ISSUE_MARGIN_SECONDS) as call:
            template = parse(intent.template, self._config.all_databases())
            secret = new_password()
            async with self._admin.lend_to_maker() as connection:
                oid = await _oid_of(connection, ref)
                if oid is None:
                    raise TargetError("missing_object", f"there is no role `{ref.handle[:63]}`", sent=False)
                plan: dict[str, object] = {"oid": str(oid), "expires_at": show(intent.expires_at)}
                plan["verifier"] = self._verifier(secret)
                statement = await self._fenced(connection, blocks.THAW, plan, issue_by=intent.issue_by)
                call.sent = True
                await connection.execute(statement)
                name = await connection.fetchval("SELECT rolname FROM pg_roles WHERE oid = $1", oid)
            return Issued(str(oid), self._connection_of(str(name), template.database), secret)

    async def destroy(self, ref: Ref) -> None:
        """Turn logins off for ever, end every connection, drop the role with its privileges.

        A role that owns objects is left without login, membership and privileges instead;
        `observe` then says `QUARANTINED` and lists the objects.
        """
        async with one_call("destroy", DESTROY_SECONDS) as call, self._admin.lend() as connection:
            oid = await _oid_of(connection, ref)
            if oid is None:
                return
            call.sent = True
            await removal.bar(connection, oid, final=True)
            await removal.cut(connection, oid)
            await removal.roll_back_prepared(self._admin, connection, oid)
            await removal.drop(self._admin, connection, oid)

    def check_narrower(self, before: Mapping[str, object], after: Mapping[str, object]) -> None:
        """Refuse a template that says anything that `before` does not.

        Raises:
            Invalid: code `not_narrower`, or `bad_template`.
        """
        places = self._config.all_databases()
        narrowing.check_narrower(parse(before, places), parse(after, places))

    async def narrow(self, ref: Ref, after: Mapping[str, object]) -> str:
        """Revoke in place what `after` does not say; cut whatever had begun under it."""
        async with one_call("narrow", DESTROY_SECONDS) as call:
            template = parse(after, self._config.all_databases())
            async with self._admin.lend(template.database) as connection:
                oid = await _oid_of(connection, ref)
                if oid is None:
                    return "no such role"
                call.sent = True
                return await narrowing.narrow(self._admin, connection, oid, template)

    async def observe(self, ref: Ref) -> Observation:
        """Read catalogue and activity by OID until the answer is believable."""
        async with one_call("observe", READ_SECONDS), self._admin.lend() as connection:
            check_handle(ref.handle)
            return await observe(connection, ref, _known_oid(ref))

    async def count_use(self, ref: Ref, since: datetime) -> Counted | None:
        """What `pg_stat_statements` counted, where the target's settings say that it does."""
        if not self._config.count_use:
            return None
        async with one_call("count", READ_SECONDS):
            oid = _known_oid(ref)
            if oid is None:
                return None
            async with self._admin.lend() as connection:
                return await use.count(connection, oid, since)

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every role whose name begins with `prefix`, and every one we made under such a name."""
        async with one_call("inventory", DESTROY_SECONDS), self._admin.lend() as connection:
            check_handle(prefix)
            rows = await connection.fetch(_INVENTORY, prefix)
        return [_found(str(row["rolname"]), int(row["oid"]), row["mark"]) for row in rows]

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Every role that can log in and is not ours; PostgreSQL keeps neither its age nor its last use."""
        async with one_call("standing", DESTROY_SECONDS), self._admin.lend() as connection:
            check_handle(prefix)
            rows = await connection.fetch(STANDING, prefix)
        return [standing_of(row, self._config.host) for row in rows]

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Try everything a session will need, with a canary that never stays behind."""
        return await Preflight(self, self._admin, self._config, self._clock).run(prefix)

    async def rehearse(self, intent: Intent) -> None:
        """Do what `issue` does and roll it back: says what is missing, leaves nothing."""
        async with one_call("rehearse", self._config.issue_seconds + ISSUE_MARGIN_SECONDS):
            check_handle(intent.handle)
            template = parse(intent.template, self._config.all_databases())
            place = template.database
            async with self._admin.lend_to_maker(place) as connection, self._admin.turn(place):
                plan = self._plan(intent, template, new_password())
                statement = await self._fenced(connection, blocks.ISSUE, plan, issue_by=intent.issue_by)
                trial = connection.transaction()
                await trial.start()
                try:
                    await connection.execute(statement)
                finally:
                    await trial.rollback()

    async def close(self) -> None:
        """Close the admin's connections."""
        await self._admin.close()

    def _plan(self, intent: Intent, template: Template, secret: Secret) -> dict[str, object]:
        return {
            "handle": intent.handle,
            "mark": f"{mark_of(intent.handle)}{show(self._clock.now())}",
            "expires_at": show(intent.expires_at),
            "verifier": self._verifier(secret),
            "connection_limit": template.connection_limit,
            "roles": list(template.roles),
            "grants": grants(template),
        }

    async def _fenced(
        self, connection: Connection, block: str, plan: Mapping[str, object], *, issue_by: datetime
    ) -> str:
        """Load `plan` and return `block` with its deadline by the server's clock, for one message."""
        fence = timedelta(seconds=self._config.issue_seconds)
        server_now = await load_plan(connection, plan, statement_ms=round(fence.total_seconds() * 1000))
        # The server read its clock before we read ours, so this errs on the early side.
        left = min(fence, issue_by - self._clock.now())
        if left <= timedelta(0):
            raise TargetError("deadline_passed", "the deadline passed before anything was sent", sent=False)
        return f"SET LOCAL sojourn.deadline = '{show(server_now + left)}'; {block}"

    def _verifier(self, secret: Secret) -> str:
        return verifier(secret, iterations=self._config.scram_iterations)

    def _connection_of(self, user: str, database: str) -> dict[str, str]:
        return {
            "host": self._config.client_host or self._config.host,
            "port": str(self._config.client_port or self._config.port),
            "user": user,
            "sslmode": self._config.sslmode,
            "database": database,
        }


def _known_oid(ref: Ref) -> int | None:
    if ref.target_id is None:
        return None
    if ref.target_id.isascii() and ref.target_id.isdecimal() and 0 < int(ref.target_id) <= MAX_OID:
        return int(ref.target_id)
    raise Invalid("bad_target_id", f"expected an OID, got `{ref.target_id[:40]}`")


async def _oid_of(connection: Connection, ref: Ref) -> int | None:
    """The known OID, whoever has the name by now; else that of the role marked as ours."""
    check_handle(ref.handle)
    oid = _known_oid(ref)
    return await find_marked(connection, ref.handle) if oid is None else oid


def _found(name: str, oid: int, mark: object) -> Found:
    parts = mark.removeprefix(MARK_PREFIX).rsplit(":", 3) if isinstance(mark, str) else []
    if not isinstance(mark, str) or not mark.startswith(MARK_PREFIX) or len(parts) != 4:
        return Found(name, str(oid), None)
    try:
        created = datetime.fromisoformat(":".join(parts[1:]))
    except ValueError:
        return Found(name, str(oid), None)
    return Found(parts[0], str(oid), created)
