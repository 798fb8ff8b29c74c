"""Calendars that an operator keeps: when changes may happen, and when they may not."""

from __future__ import annotations

from typing import Protocol

from sojourn.core.calendar import Hours


class Calendars(Protocol):
    """The calendars that this server is configured with."""

    async def hours(self, name: str) -> Hours:
        """The hours of that calendar, around now and at least 30 days ahead.

        A calendar that cannot be read or reached in time allows nothing.

        Raises:
            Unavailable: code `calendar_unavailable`; unknown, unreadable or malformed.
        """
        ...
