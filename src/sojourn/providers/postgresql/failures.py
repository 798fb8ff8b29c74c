"""Every way a call to PostgreSQL fails, turned into a `TargetError` with a stable code.

The server's message is passed on; it may name objects, and our statements hold no secret
(passwords are never sent, only their verifiers, and those in bound parameters).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sojourn.core.errors import Invalid, TargetError
from sojourn.providers.postgresql.wire import DRIVER_ERRORS, PostgresError

# Raised by our own statements; class SJ is in the range the SQL standard leaves to users.
DEADLINE_PASSED: Final = "SJ001"
DANGEROUS_ROLE: Final = "SJ002"
MISSING_PRIVILEGE: Final = "SJ003"
MISSING_OBJECT: Final = "SJ004"
WRONG_STATE: Final = "SJ005"
HELD_OTHERWISE: Final = "SJ006"

_CODES: Final = {
    DEADLINE_PASSED: "deadline_passed",
    DANGEROUS_ROLE: "dangerous_role",
    MISSING_PRIVILEGE: "missing_privilege",
    MISSING_OBJECT: "missing_object",
    WRONG_STATE: "wrong_state",
    HELD_OTHERWISE: "held_otherwise",
    "28000": "admin_login_refused",
    "28P01": "admin_login_refused",
    "3D000": "missing_object",
    "42501": "missing_privilege",
    "42704": "missing_object",
    "42710": "handle_taken",
    "2BP01": "still_depended_on",
    "53300": "target_full",
    "55P03": "target_busy",
    "40001": "target_busy",
    "40P01": "target_busy",
    "XX000": "target_busy",  # `tuple concurrently updated`: a catalogue row changed meanwhile
    "57014": "target_timeout",
    "57P01": "target_unreachable",
    "57P02": "target_unreachable",
    "57P03": "target_unreachable",
}


@dataclass(slots=True)
class Call:
    """One call to the target: `sent` turns true before the first request with an effect."""

    sent: bool = False


@asynccontextmanager
async def one_call(verb: str, seconds: float) -> AsyncIterator[Call]:
    """Bound a call in time and turn every failure of it into a `TargetError`."""
    call = Call()
    try:
        async with asyncio.timeout(seconds):
            yield call
    except Invalid as error:
        raise TargetError(error.code, error.message, sent=False) from error
    except TimeoutError as error:
        raise TargetError("target_timeout", f"{verb}: no answer in {seconds:g} s", sent=call.sent) from error
    except PostgresError as error:
        raise TargetError(code_of(error), f"{verb}: {_words(error)}", sent=call.sent) from error
    except DRIVER_ERRORS as error:
        text = f"{verb}: {type(error).__name__}: {error}"
        raise TargetError("target_unreachable", text, sent=call.sent) from error


def code_of(error: PostgresError) -> str:
    """The stable code of a server's error."""
    state: str = error.sqlstate or ""
    if state.startswith("08"):
        return "target_unreachable"
    return _CODES.get(state, "target_refused")


def _words(error: PostgresError) -> str:
    return str(error.args[0] if error.args else type(error).__name__)[:300]
