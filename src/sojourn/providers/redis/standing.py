"""ACL users that are on and that no session made: what the server says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.standing import Standing
from sojourn.providers.redis.fence import server_now
from sojourn.providers.redis.wire import Answered, Connection

_CLIENT: Final = re.compile(r"(?:^| )idle=(\d+) .*?(?:^| )user=(\S*)")
# Either of these leads to everything else; the server itself is asked whether the user may.
_STRONGEST: Final = (("ACL", "SETUSER", "sojourn"), ("CONFIG", "SET", "dir", "/"))


async def standing_users(connection: Connection, prefix: str, place: str) -> list[Standing]:
    """Every user that is on; the admin's own and `default` are among them.

    Redis keeps neither the age of a user nor its last use: one that is connected now was used
    when its latest command began.
    """
    now = await server_now(connection)
    idle = _idle_seconds(str(await connection.ask("CLIENT", "LIST")))
    found = []
    for line in await connection.ask("ACL", "LIST"):
        _, name, *rules = str(line).split()
        if "on" in rules and not name.startswith(prefix):
            strong = await _may_do_anything(connection, name)
            found.append(_standing(name, place, _used(idle, name, now), privileged=strong))
    return found


def _standing(name: str, place: str, used: datetime | None, *, privileged: bool) -> Standing:
    return Standing(
        kind="redis_user",
        place=f"redis://{place}",
        name=name,
        last_used_at=used,
        owner_guess=None if name == "default" else name,
        privileged=privileged,
        grants={"cache": {"target": "CHANGE-ME-redis", "template": "readonly"}},
    )


async def _may_do_anything(connection: Connection, user: str) -> bool:
    for command in _STRONGEST:
        try:
            if await connection.ask("ACL", "DRYRUN", user, *command) == "OK":
                return True
        except Answered:  # the user went away meanwhile
            return False
    return False


def _idle_seconds(listed: str) -> Mapping[str, int]:
    idle: dict[str, int] = {}
    for line in listed.splitlines():
        if found := _CLIENT.search(line):
            idle[found[2]] = min(int(found[1]), idle.get(found[2], int(found[1])))
    return idle


def _used(idle: Mapping[str, int], name: str, now: datetime) -> datetime | None:
    return now - timedelta(seconds=idle[name]) if name in idle else None
