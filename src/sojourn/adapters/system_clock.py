"""The clock and the entropy of this machine: the one place that asks the operating system."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
import time
from datetime import datetime
from uuid import UUID

import uuid_utils.compat

from sojourn.core.window import from_micros


class SystemClock:
    """Wall time that never goes back within this process, and a clock that runs through suspension."""

    def __init__(self) -> None:
        self._latest = 0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The current instant in UTC; while the wall clock is set back, the latest one given before."""
        with self._lock:
            self._latest = max(self._latest, time.time_ns() // 1000)
            return from_micros(self._latest)

    def monotonic(self) -> float:
        """Seconds since boot, suspension included: a deadline must not sleep with the machine."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable."""
        await asyncio.sleep(seconds)


class SystemEntropy:
    """Identifiers and secrets from the operating system's generator."""

    def uuid7(self) -> UUID:
        """A new UUIDv7 (RFC 9562, section 5.7)."""
        return uuid_utils.compat.uuid7()

    def token(self, nbytes: int) -> str:
        """`nbytes` of fresh randomness, base64url without padding."""
        return base64.urlsafe_b64encode(os.urandom(nbytes)).rstrip(b"=").decode()
