"""Seeing whether an account is gone: accounts and connections by name, until the answer is believable."""

from __future__ import annotations

import asyncio
from typing import Final

from sojourn.ports.provider import Observation, Presence
from sojourn.providers.mysql import removal
from sojourn.providers.mysql.names import lock_of
from sojourn.providers.mysql.statements import read
from sojourn.providers.mysql.wire import Connection

MOST_READS: Final = 12  # then what still lingers is not a login that is being refused
_ALL: Final = 2**63 - 1  # no connection is newer


async def observe(connection: Connection, user: str) -> Observation:
    """What there is of an account; absent after three clean reads in a row.

    Once there is no account, only connections that were there then count: later ones are refused.
    """
    seen = await _read(connection, user, _ALL, 1)
    clean, last = int(seen.presence is Presence.ABSENT), _ALL
    for reads in range(2, MOST_READS + 1):
        if seen.presence is Presence.PRESENT or clean == removal.CLEAN_READS:
            break
        if last == _ALL and seen.detail["accounts"] == 0:
            last = await removal.newest(connection)
        await asyncio.sleep(removal.READ_GAP_SECONDS)
        seen = await _read(connection, user, last, reads)
        clean = clean + 1 if seen.presence is Presence.ABSENT else 0
    return seen


async def _read(connection: Connection, user: str, last: int, reads: int) -> Observation:
    admin = (await connection.fetch("SELECT SUBSTRING_INDEX(USER(), '@', 1)"))[0][0]
    values = (user, user, user, last, admin, lock_of(user))
    rows = await connection.fetch(read(connection.dialect), *values)
    accounts, login, connections, issuing, _sight = (int(one) for one in rows[0])
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
    return Observation(presence, f"accounts and process list by name, {reads} reads", detail)
