"""A block of commands that lands before its deadline by the server's clock, or never.

A key of ours that expires at the deadline is watched; `EXEC` of a transaction whose watched
key has expired, or was touched, does nothing (since Redis 6.0.9). So a message that was held
back on the way does nothing, and deleting the key stops whatever is still on its way.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sojourn.core.errors import TargetError
from sojourn.providers._common.call import Call
from sojourn.providers.redis.wire import Connection, raise_inside

_PREFIX: Final = "sojourn:fence:"


def fence_of(handle: str) -> str:
    """The key that is there while a change of this user may still land."""
    return f"{_PREFIX}{handle}"


async def server_now(connection: Connection) -> datetime:
    """The server's clock."""
    seconds, micros = await connection.ask("TIME")
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))


async def run_fenced(
    connection: Connection,
    call: Call,
    handle: str,
    commands: Sequence[Sequence[str | int]],
    *,
    deadline: datetime,
    must_exist: bool,
) -> None:
    """Run `commands` on a user that exists, or on one that does not, before `deadline`.

    Raises:
        TargetError: code `handle_taken`, `missing_object` or `deadline_passed`.
    """
    fence, token = fence_of(handle), secrets.token_hex(8)
    at = int(deadline.timestamp() * 1000)
    taken = await connection.ask("SET", fence, token, "NX", "PXAT", at)
    if taken is None:
        raise TargetError("handle_taken", f"another change of `{handle}` is under way", sent=False)
    _, held, user = await connection.ask_all([("WATCH", fence), ("GET", fence), ("ACL", "GETUSER", handle)])
    if held != token:
        await connection.ask("UNWATCH")
        raise TargetError("deadline_passed", "the deadline has passed by the clock of the server", sent=False)
    if (user is not None) is not must_exist:
        await connection.ask_all([("UNWATCH",), ("DEL", fence)])
        if must_exist:
            raise TargetError("missing_object", f"there is no user `{handle}`", sent=False)
        raise TargetError("handle_taken", f"there is a user `{handle}` already", sent=False)
    call.sent = True
    done = (await connection.ask_all([("MULTI",), *commands, ("DEL", fence), ("EXEC",)]))[-1]
    if done is None:
        raise TargetError(
            "deadline_passed", "too late by the clock of the server, or it is being destroyed", sent=True
        )
    raise_inside(done)
