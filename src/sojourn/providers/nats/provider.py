"""The provider for NATS: one scoped signing key in the account a session, class A.

Users are signed here and never sent; what the server is sent is the account with one entry
more or less. Every such write goes over a connection that the server closes at the deadline.
Holds no state about any credential.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import Check, Found, Intent, Issued, Observation, Presence, Ref, RevocationClass
from sojourn.providers._common.call import Call, one_call, time_left
from sojourn.providers._common.preflight import Preflight
from sojourn.providers.nats.account import Entry, entries, entry_of, put, remove
from sojourn.providers.nats.config import Config, configured
from sojourn.providers.nats.nkeys import ACCOUNT, USER, Key, credentials, is_account, new_key
from sojourn.providers.nats.rehearsal import CANARY, Rehearsal
from sojourn.providers.nats.template import Template, inbox_of, nothing, parse, permissions
from sojourn.providers.nats.wire import FAILURES, WRITER, Connection, as_system_user

ISSUE_MARGIN_SECONDS: Final = 2.0  # the answer's way home, after the fence
DESTROY_SECONDS: Final = 10.0
FREEZE_SECONDS: Final = 5.0
READ_SECONDS: Final = 5.0
WRITE_SECONDS: Final = 3.0  # how long a removal may be on its way
READER_SECONDS: Final = 60.0
CLEAN_READS: Final = 3
READ_GAP_SECONDS: Final = 0.005

_HANDLE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
Edit = Callable[[dict[str, Any]], bool]
"""Changes the claims of an account in place; false if there was nothing to change."""


class NATS:
    """Makes a signing key for each session and takes it away again."""

    def __init__(self, config: Config, clock: WallClock) -> None:
        self._config = config
        self._clock = clock
        # Read, change, write: one at a time here, and visible to the writers of other processes.
        self._turn = asyncio.Lock()
        self._name = f"{WRITER}{secrets.token_hex(8)}"

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> NATS:
        """The provider of one target; `secret` is a JSON object with the keys that govern it.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(configured(settings, templates, secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """A: the server cuts what a removed key signed; absence is seen in account and connections."""
        return RevocationClass.A

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template that is malformed or asks for more than may be given.

        Raises:
            Invalid: code `bad_template`, naming the member and what was expected.
        """
        parse(template)

    async def issue(self, intent: Intent) -> Issued:
        """Put a signing key into the account before the deadline, or never."""
        async with one_call("issue", self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            _check_handle(intent.handle)
            template, key = parse(intent.template), new_key(ACCOUNT)
            entry = Entry(intent.handle, key.public, key.public, frozen=False)

            def add(claims: dict[str, Any]) -> bool:
                if entry_of(claims, Ref(intent.handle, None)) is not None:
                    raise TargetError("handle_taken", f"there is a key `{intent.handle}` already", sent=False)
                put(claims, entry, permissions(template, intent.handle))
                return True

            await self._write(call, add, intent)
            return self._issued(entry, key, intent, template)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Give a frozen credential a new signing key, unless it is gone."""
        async with one_call("thaw", self._fence + ISSUE_MARGIN_SECONDS, FAILURES) as call:
            _check_handle(ref.handle)
            template, key = parse(intent.template), new_key(ACCOUNT)
            thawed: list[Entry] = []

            def renew(claims: dict[str, Any]) -> bool:
                found = entry_of(claims, ref)
                if found is None:
                    raise TargetError("missing_object", f"there is no key `{ref.handle}`", sent=False)
                thawed.append(Entry(found.handle, found.target_id, key.public, frozen=False))
                put(claims, thawed[0], permissions(template, found.handle))
                return True

            await self._write(call, renew, intent)
            return self._issued(thawed[0], key, intent, template)

    async def locate(self, handle: str) -> str | None:
        """The id of the credential that we made under this handle."""
        async with one_call("locate", READ_SECONDS, FAILURES):
            _check_handle(handle)
            async with self._reader() as connection:
                found = entry_of(await connection.account(), Ref(handle, None))
        return None if found is None else found.target_id

    async def freeze(self, ref: Ref) -> None:
        """Put a key that nobody holds in place of the session's; the server cuts what it signed."""
        async with one_call("freeze", FREEZE_SECONDS, FAILURES) as call:
            _check_ref(ref)

            def bar(claims: dict[str, Any]) -> bool:
                found = entry_of(claims, ref)
                if found is None or found.frozen:
                    return False
                dead = new_key(ACCOUNT).public
                put(claims, Entry(found.handle, found.target_id, dead, frozen=True), nothing())
                return True

            await self._write(call, bar)
            await self._cut(ref.handle)

    async def destroy(self, ref: Ref) -> None:
        """Take the key out of the account; the server cuts what it signed, and we look."""
        async with one_call("destroy", DESTROY_SECONDS, FAILURES) as call:
            _check_ref(ref)

            def drop(claims: dict[str, Any]) -> bool:
                found = entry_of(claims, ref)
                if found is None:
                    return False
                remove(claims, found)
                return True

            await self._write(call, drop)
            await self._cut(ref.handle)

    async def observe(self, ref: Ref) -> Observation:
        """Read account and connections until the answer is believable."""
        async with one_call("observe", READ_SECONDS, FAILURES):
            _check_ref(ref)
            async with self._reader() as connection:
                seen = await self._read(connection, ref, reads=1)
                while seen.presence is Presence.ABSENT and seen.detail["reads"] != CLEAN_READS:
                    await asyncio.sleep(READ_GAP_SECONDS)
                    seen = await self._read(connection, ref, reads=int(seen.detail["reads"]) + 1)
                return seen

    async def inventory(self, prefix: str) -> Sequence[Found]:
        """Every credential in the account that we made under such a handle."""
        async with one_call("inventory", DESTROY_SECONDS, FAILURES):
            _check_handle(prefix)
            async with self._reader() as connection:
                listed = entries(await connection.account())
        return [Found(one.handle, one.target_id, None) for one in listed if one.handle.startswith(prefix)]

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Try everything a session will need, with canaries that never stay behind."""
        rehearsal = Rehearsal(self._reader, self._config, self._clock)
        run = Preflight(self, rehearsal, self._config.templates, fence_seconds=self._fence)
        return await run.run(prefix, CANARY)

    async def close(self) -> None:
        """Nothing is kept open."""

    @property
    def _fence(self) -> float:
        return self._config.settings.issue_seconds

    def _reader(self) -> Any:
        until = self._clock.now() + timedelta(seconds=READER_SECONDS)
        return as_system_user(self._config, "sojourn-reader", until)

    async def _write(self, call: Call, edit: Edit, intent: Intent | None = None) -> None:
        """Read the account, change it, write it: over one connection, before one deadline.

        A write holds the whole account, so one that landed late would bring back every key that
        was removed meanwhile: removals are fenced just as issues are.
        """
        async with self._turn:
            async with self._reader() as reader:
                theirs = await reader.server_now()
            seconds = WRITE_SECONDS
            if intent is not None:
                left = time_left(self._fence, intent.issue_by, self._clock.now())
                seconds = left.total_seconds()
            deadline = theirs + timedelta(seconds=seconds)
            async with as_system_user(self._config, self._name, deadline) as connection:
                claims = await connection.account()
                if edit(claims):
                    call.sent = True
                    await connection.replace_account(claims, theirs)

    async def _cut(self, handle: str) -> None:
        """See that no connection is left of a key that is gone; close those that are."""
        async with self._reader() as connection:
            clean = 0
            while clean < CLEAN_READS:
                live = _of(await connection.connections(self._config.account), handle)
                clean = 0 if live else clean + 1
                for one in live:
                    await connection.kick(str(one.get("server_id", "")), int(one["cid"]))
                await asyncio.sleep(READ_GAP_SECONDS)

    async def _read(self, connection: Connection, ref: Ref, *, reads: int) -> Observation:
        # Another process that is writing may have read the account before we changed it.
        writers = [
            one
            for one in await connection.connections(self._config.system_account)
            if str(one.get("name", "")).startswith(WRITER) and one.get("name") != self._name
        ]
        found = entry_of(await connection.account(), ref)
        live = len(_of(await connection.connections(self._config.account), ref.handle))
        login = found is not None and not found.frozen
        if login or (writers and found is None):
            presence = Presence.PRESENT
        elif live:
            presence = Presence.LINGERING
        else:
            presence = Presence.ABSENT if found is None else Presence.PRESENT
        detail: dict[str, str | int] = {"reads": reads, "login": int(login), "connections": live}
        if writers:
            detail["issuing"] = len(writers)
        return Observation(presence, f"account claims and connections, {reads} reads", detail)

    def _issued(self, entry: Entry, key: Key, intent: Intent, template: Template) -> Issued:
        user = new_key(USER)
        claims = {
            "sub": user.public,
            "name": entry.handle,
            "iat": int(self._clock.now().timestamp()),
            "exp": int(intent.expires_at.timestamp()),
            "nats": {"type": "user", "version": 2, "issuer_account": self._config.account},
        }
        told = {
            "host": self._config.host,
            "port": str(self._config.port),
            "user": entry.handle,
            "tls": self._config.address.tls,
            "inbox_prefix": inbox_of(entry.handle),
        }
        return Issued(entry.target_id, told, credentials(key.sign(claims), user))


def _of(connections: Sequence[Mapping[str, Any]], handle: str) -> list[Mapping[str, Any]]:
    """The connections of users we signed under `handle`: their token's name is the handle."""
    return [one for one in connections if one.get("name_tag") == handle]


def _check_ref(ref: Ref) -> None:
    _check_handle(ref.handle)
    if ref.target_id is not None and not is_account(ref.target_id):
        raise Invalid("bad_target_id", f"expected a public key, got `{ref.target_id[:40]}`")


def _check_handle(handle: str) -> None:
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", "expected 1 to 64 letters, digits, `_` or `-`")
