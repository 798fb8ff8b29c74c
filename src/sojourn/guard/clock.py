"""The guard's clocks: the wall, and one that runs on while the machine is suspended.

A paused virtual machine or a closed lid must not stretch a lease, so hearing is timed on
`CLOCK_BOOTTIME` where there is one.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Protocol

_TICKING: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class GuardClock(Protocol):
    """What time it is, twice."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC; it may be wrong and it may step."""
        ...

    def mono(self) -> float:
        """Seconds that never step and do not stop in suspension."""
        ...


class BootClock:
    """The operating system's clocks."""

    def now(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC)

    def mono(self) -> float:
        """`CLOCK_BOOTTIME`, or the monotonic clock where there is none."""
        return time.clock_gettime(_TICKING)
