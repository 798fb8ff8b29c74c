"""Wake those who wait for the feed. A wake-up is only a hint: correctness never depends on it."""

from __future__ import annotations

from typing import Protocol


class Bell(Protocol):
    """One topic that can be rung and waited for, within or between processes."""

    def ring(self, n: int) -> None:
        """Say that the feed has reached number `n`."""
        ...

    async def wait_beyond(self, n: int, timeout_s: float) -> None:
        """Return when the feed has passed `n`, or after `timeout_s`."""
        ...
