"""Wait for something to become true, and give up loudly when it does not.

A test that sleeps is either slow or wrong; a test that polls is neither.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")
_PAUSE_S = 0.01


def until(look: Callable[[], T], *, within_s: float = 5.0, every_s: float = _PAUSE_S) -> T:
    """The first true answer of `look`, asked every so often: less so where asking is part of the load.

    Raises:
        AssertionError: there was none within the deadline; it shows the last answer.
    """
    give_up = time.monotonic() + within_s
    while not (answer := look()):
        assert time.monotonic() < give_up, f"not within {within_s} s; last answer: {answer!r}"
        time.sleep(every_s)
    return answer


async def until_async(
    look: Callable[[], Awaitable[T]], *, within_s: float = 5.0, every_s: float = _PAUSE_S
) -> T:
    """The first true answer of `look`, asked every so often, without holding up the event loop.

    Raises:
        AssertionError: there was none within the deadline; it shows the last answer.
    """
    give_up = time.monotonic() + within_s
    while not (answer := await look()):
        assert time.monotonic() < give_up, f"not within {within_s} s; last answer: {answer!r}"
        await anyio.sleep(every_s)
    return answer


async def fault_falls_after(seconds: float) -> None:
    """Let a fault fall at this moment of what is under way: the moment is part of the fault.

    What it leads to is still polled for; nothing may rely on the work having come so far.
    """
    await anyio.sleep(seconds)


async def pace(seconds: float) -> None:
    """The pause between two things that a server under test says by itself."""
    await anyio.sleep(seconds)
