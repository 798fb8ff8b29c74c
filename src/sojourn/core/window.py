"""UTC instants and half-open windows: `opens <= t < closes`.

Instants are aware UTC datetimes here, integer microseconds in the store and RFC 3339
with `Z` on the wire. A window is never empty and never without an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sojourn.core.errors import Invalid

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open interval in which a session may act."""

    opens: datetime
    closes: datetime

    def __post_init__(self) -> None:
        if self.opens.utcoffset() != timedelta(0) or self.closes.utcoffset() != timedelta(0):
            raise Invalid("bad_window", "window bounds must be UTC instants")
        if self.closes <= self.opens:
            raise Invalid("bad_window", f"window ends `{show(self.closes)}`, not after it begins")

    def holds(self, now: datetime) -> bool:
        """Whether `now` lies inside."""
        return self.opens <= now < self.closes

    def within(self, outer: Window) -> bool:
        """Whether no instant of this window lies outside `outer`."""
        return outer.opens <= self.opens and self.closes <= outer.closes

    def until(self, closes: datetime) -> Window:
        """The same window, closing no later than `closes`."""
        return Window(self.opens, min(self.closes, closes))


def to_micros(instant: datetime) -> int:
    """Whole microseconds since 1970-01-01T00:00:00Z, exact."""
    return (instant - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return EPOCH + micros * _MICROSECOND


def show(instant: datetime) -> str:
    """RFC 3339 with `Z` and microseconds, always the same width; instants in the core are in UTC."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """Read an RFC 3339 instant in UTC.

    Raises:
        Invalid: code `bad_instant`; not RFC 3339, or without an offset.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid("bad_instant", f"expected an RFC 3339 instant, got `{text[:40]}`") from error
    if instant.tzinfo is None:
        raise Invalid("bad_instant", f"`{text[:40]}` has no offset; write it with `Z`")
    return instant.astimezone(UTC)
