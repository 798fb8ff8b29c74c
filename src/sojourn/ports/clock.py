"""The only sources of now and of randomness."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID


class WallClock(Protocol):
    """What time it is, for those who never wait."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC. Never earlier than an answer given before."""
        ...


class Clock(WallClock, Protocol):
    """What time it is, and waiting."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps and runs on through suspension."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable."""
        ...


class Entropy(Protocol):
    """Where identifiers and secrets come from."""

    def uuid7(self) -> UUID:
        """A new UUIDv7 (RFC 9562, section 5.7)."""
        ...

    def token(self, nbytes: int) -> str:
        """`nbytes` of fresh randomness, base64url without padding."""
        ...
