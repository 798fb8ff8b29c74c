"""News from outside that a job is over: a delivery or a watch in, signals out.

A trigger verifies that the news is what it says it is, and maps it onto a reason of the closed
set. Which sessions it concerns is decided by attested facts that must all match; whether it may
end them, by their charters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from sojourn.core.ending import Reason
from sojourn.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Delivery:
    """One pushed message as it came; header names are in lower case."""

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Signal:
    """Something outside is over: every session whose context has all of `match`."""

    reason: Reason
    match: Mapping[str, str]  # attested facts, by their dotted names; never empty
    detail: str = ""


@runtime_checkable
class PushTrigger(Protocol):
    """Reads what another system sends us."""

    def parse(self, delivery: Delivery, secret: Secret) -> tuple[Signal, ...]:
        """The signals of a delivery; none for news that ends nothing.

        Raises:
            Unauthenticated: code `bad_signature`; it is not signed with `secret`, or too old.
            Invalid: code `bad_delivery`; it is signed, and cannot be read.
        """
        ...


@runtime_checkable
class WatchTrigger(Protocol):
    """Follows another system by itself."""

    def watch(self, settings: Mapping[str, str], secret: Secret) -> AsyncIterator[tuple[Signal, ...]]:
        """Signals as they come, until the connection ends; what was missed meanwhile comes first.

        Raises:
            Unavailable: code `watch_lost`; begin again.
        """
        ...
