"""Read, decide, commit; when somebody else was first, read and decide again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sojourn.core.errors import Conflict
from sojourn.ports.clock import Clock

T = TypeVar("T")

MOST_TRIES: Final = 16
"""A request that lost so many races in a row gives its caller the conflict."""

_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.1


async def decide_again(attempt: Callable[[], Awaitable[T]], clock: Clock, *, tries: int = MOST_TRIES) -> T:
    """The answer of the first `attempt` that no other writer overtook.

    Raises:
        Conflict: code `stale` after `tries` attempts; any other conflict at once.
    """
    for count in range(1, tries):
        try:
            return await attempt()
        except Conflict as error:
            if error.code != "stale":
                raise
        await clock.sleep(_pause(count))
    return await attempt()


async def decide_until_it_lands(attempt: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """As `decide_again`, without giving up: for what must happen whoever else is writing."""
    count = 0
    while True:
        try:
            return await attempt()
        except Conflict as error:
            if error.code != "stale":
                raise
        count += 1
        await clock.sleep(_pause(count))


def _pause(count: int) -> float:
    return min(_PAUSE_S * count, _LONGEST_PAUSE_S)
