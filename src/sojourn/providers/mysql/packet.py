"""Making and thawing an account at MySQL: one packet of statements, which ends with the first that fails.

A condition that does not hold is made a failure by preparing a read of a column that does not
exist and that is named after what is wrong; the server looks at its clock for it, whenever the
packet arrives. What a failure leaves is locked, and is dropped while the lock is still held.
"""

from __future__ import annotations

import asyncio

from sojourn.providers.mysql.birth import Birth
from sojourn.providers.mysql.names import lock_of
from sojourn.providers.mysql.statements import DEADLINE_PASSED, HANDLE_TAKEN, MISSING_OBJECT
from sojourn.providers.mysql.verifier import caching_sha2
from sojourn.providers.mysql.wire import RAISED, Answered, Connection

_MADE = 5  # statements of an issue before its first grant: lock (2), clock (2), account


async def issue(connection: Connection, birth: Birth) -> None:
    """Make the account, or leave nothing.

    Raises:
        Answered: nothing is left; `step` is the number of the grant that failed, 0 if none of them.
        ServerError: what is left is unknown, and locked.
    """
    try:
        await connection.execute(_packet(_issue(birth, await _identified(birth))))
    except Answered as error:
        grant = error.ran - _MADE + 1
        error.step = grant if 0 < grant <= len(birth.grants) else 0
        await _undo(connection, birth, made=error.ran >= _MADE)
        raise


async def thaw(connection: Connection, birth: Birth) -> None:
    """Unlock the account with a new password, unless it is gone or too late."""
    there = f"EXISTS (SELECT User FROM mysql.user WHERE User = '{birth.user}')"
    unlock = f"ALTER USER {birth.who} {await _identified(birth)} ACCOUNT UNLOCK"
    steps = [*_unless(birth.late, DEADLINE_PASSED), *_unless(f"NOT {there}", MISSING_OBJECT), unlock]
    await connection.execute(_packet(steps))


def _issue(birth: Birth, identified: str) -> list[str]:
    lock = f"'{lock_of(birth.user)}'"
    return [
        *_unless(f"COALESCE(GET_LOCK({lock}, 0), 0) <> 1", HANDLE_TAKEN),
        *_unless(birth.late, DEADLINE_PASSED),
        f"CREATE USER {birth.who} {identified} WITH MAX_USER_CONNECTIONS {birth.connections} ACCOUNT LOCK",
        *(f"GRANT {grant} TO {birth.who}" for grant in birth.grants),
        *_unless(birth.late, DEADLINE_PASSED),
        f"ALTER USER {birth.who} ACCOUNT UNLOCK",
        f"DO RELEASE_LOCK({lock})",
    ]


async def _undo(connection: Connection, birth: Birth, *, made: bool) -> None:
    """Drop what was made and give the lock back; a failure of this is what the caller hears."""
    if made:
        await connection.execute(f"DROP USER IF EXISTS {birth.who}")
    await connection.execute(f"DO RELEASE_LOCK('{lock_of(birth.user)}')")


def _unless(wrong: str, number: int) -> tuple[str, str]:
    """Two statements, the second of which fails if `wrong` holds."""
    choice = f"SET @sojourn = IF({wrong}, 'SELECT {RAISED[number]}', 'DO 0')"
    return choice, "PREPARE sojourn FROM @sojourn"


async def _identified(birth: Birth) -> str:
    """Its verifier takes some milliseconds to work out, which nobody else waits for."""
    verifier = await asyncio.to_thread(caching_sha2, birth.password)
    return f"IDENTIFIED WITH caching_sha2_password AS '{verifier}'"


def _packet(steps: list[str]) -> str:
    return ";\n".join(steps)
