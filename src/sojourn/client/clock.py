"""The edge's clock: where client and command line ask the operating system for the time.

The edge ships without the adapters, so it brings its own. Nothing here decides anything:
the server's time does.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class EdgeClock:
    """The time on this machine."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that runs on while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
