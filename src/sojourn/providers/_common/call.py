"""One bounded call to a target: every failure of it becomes a `TargetError`.

Knows the time limit and whether anything was sent. What a target's own errors mean is
handed in by the provider.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret

PASSWORD_BYTES: Final = 32  # 256 bits: a fast hash of it tells nothing
LONGEST_WORDS: Final = 300


@dataclass(slots=True)
class Call:
    """One call to the target: `sent` turns true before the first request with an effect."""

    sent: bool = False


@dataclass(frozen=True, slots=True)
class Failures:
    """How one driver fails: the exceptions it raises, and the stable code of each."""

    kinds: tuple[type[Exception], ...]
    code_of: Callable[[Exception], str]


@asynccontextmanager
async def one_call(verb: str, seconds: float, failures: Failures) -> AsyncIterator[Call]:
    """Bound a call in time and turn every failure of it into a `TargetError`."""
    call = Call()
    try:
        async with asyncio.timeout(seconds):
            yield call
    except Invalid as error:
        raise TargetError(error.code, error.message, sent=False) from error
    except TimeoutError as error:  # before its base, OSError
        raise TargetError("target_timeout", f"{verb}: no answer in {seconds:g} s", sent=call.sent) from error
    except failures.kinds as error:
        words = " ".join(str(one) for one in error.args) or type(error).__name__
        code = failures.code_of(error)
        raise TargetError(code, f"{verb}: {words[:LONGEST_WORDS]}", sent=call.sent) from error


@contextmanager
def as_admin(failures: Failures) -> Iterator[None]:
    """A refused login inside is the admin's: nothing was sent, and another credential mends it."""
    try:
        yield
    except failures.kinds as error:
        if failures.code_of(error) == "login_refused":
            raise TargetError("admin_login_refused", "the admin's login failed", sent=False) from error
        raise


def new_password() -> Secret:
    """A random password of letters, digits, `-` and `_`."""
    return Secret(secrets.token_urlsafe(PASSWORD_BYTES))


def time_left(fence_seconds: float, issue_by: datetime, now: datetime) -> timedelta:
    """How long a send may still land: the fence, or less when `issue_by` is nearer.

    Raises:
        TargetError: code `deadline_passed`, with `sent` false.
    """
    left = min(timedelta(seconds=fence_seconds), issue_by - now)
    if left <= timedelta(0):
        raise TargetError("deadline_passed", "the deadline passed before anything was sent", sent=False)
    return left
