"""Random recurring events, and a second way to say when they are: day by day, by hand."""

from __future__ import annotations

import random
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

ZONES: Final = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Santiago",
    "Africa/Cairo",
)
DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
# Where these zones change their clocks, give or take: most events are put around here.
CHANGES: Final = (
    date(2026, 3, 29),
    date(2026, 10, 25),
    date(2026, 3, 8),
    date(2026, 11, 1),
    date(2026, 4, 5),
)


@dataclass(frozen=True)
class Event:
    """A recurring event."""

    zone: str
    start: datetime  # wall clock
    frequency: str
    interval: int
    days: tuple[str, ...]  # of the week
    month_days: tuple[int, ...]
    count: int | None
    until: datetime | None  # UTC
    lasts: tuple[int, int]  # days by the calendar, minutes by the clock
    by_end: bool  # said with DTEND rather than DURATION
    skipped: tuple[datetime, ...]  # wall clock

    def text(self) -> str:
        """As iCalendar."""
        zone = f";TZID={self.zone}:"
        lines = [f"DTSTART{zone}{_wall(self.start)}", self._length(zone), f"RRULE:{self._rule()}"]
        lines += [f"EXDATE{zone}{_wall(one)}" for one in self.skipped]
        return calendar_of("\r\n".join(lines))

    def _rule(self) -> str:
        parts = [f"FREQ={self.frequency}", f"INTERVAL={self.interval}"]
        parts += [f"BYDAY={','.join(self.days)}"] if self.days else []
        parts += [f"BYMONTHDAY={','.join(map(str, self.month_days))}"] if self.month_days else []
        parts += [f"COUNT={self.count}"] if self.count else []
        parts += [f"UNTIL={self.until:%Y%m%dT%H%M%SZ}"] if self.until else []
        return ";".join(parts)

    def _length(self, zone: str) -> str:
        days, minutes = self.lasts
        if self.by_end:
            first = self.instant(self.start)
            end = (first + timedelta(days=days, minutes=minutes)).astimezone(ZoneInfo(self.zone))
            return f"DTEND:{end.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        return (
            f"DURATION:P{days}DT{minutes}M"
            if days and minutes
            else f"DURATION:P{days}D"
            if days
            else f"DURATION:PT{minutes}M"
        )

    def instant(self, wall: datetime) -> datetime:
        """UTC: what does not exist moves on by the gap, what exists twice is the first."""
        offset = wall.replace(tzinfo=ZoneInfo(self.zone), fold=0).utcoffset()
        assert offset is not None
        return (wall - offset).replace(tzinfo=UTC)

    def spans(self, first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
        """Every occurrence that touches the time from `first` to `last`, cut to it and merged."""
        found = sorted(self._cut(wall, first, last) for wall in self._walls(last))
        merged: list[tuple[datetime, datetime]] = []
        for opens, closes in found:
            if closes <= opens:
                continue
            if merged and opens <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
            else:
                merged.append((opens, closes))
        return merged

    def _cut(self, wall: datetime, first: datetime, last: datetime) -> tuple[datetime, datetime]:
        opens = self.instant(wall)
        days, minutes = self.lasts
        if self.by_end:
            closes = opens + timedelta(days=days, minutes=minutes)
        else:
            closes = self.instant(wall + timedelta(days=days)) + timedelta(minutes=minutes)
        return max(opens, first), min(closes, last)

    def _walls(self, last: datetime) -> Iterator[datetime]:
        count = 0
        day = self.start.date()
        while (wall := datetime.combine(day, self.start.time())) <= last.replace(tzinfo=None) + timedelta(
            days=2
        ):
            day += timedelta(days=1)
            if not self._falls_on(wall.date()):
                continue
            count += 1
            if self.count and count > self.count:
                return
            if self.until and self.instant(wall) > self.until:
                return
            if wall not in self.skipped:
                yield wall

    def _falls_on(self, day: date) -> bool:
        began = self.start.date()
        match self.frequency:
            case "DAILY":
                return (day - began).days % self.interval == 0
            case "WEEKLY":
                weeks = (_monday(day) - _monday(began)).days // 7
                return weeks % self.interval == 0 and DAYS[day.weekday()] in self.days
            case _:
                months = (day.year - began.year) * 12 + day.month - began.month
                wanted = {
                    one if one > 0 else monthrange(day.year, day.month)[1] + 1 + one
                    for one in self.month_days
                }
                return months % self.interval == 0 and day.day in wanted


def calendar_of(*events: str) -> str:
    """A calendar with events of these lines."""
    bodies = "".join(
        f"BEGIN:VEVENT\r\nUID:{place}\r\nDTSTAMP:20260101T000000Z\r\n{lines}\r\nEND:VEVENT\r\n"
        for place, lines in enumerate(events)
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\n{bodies}END:VCALENDAR\r\n"


def random_event(chosen: random.Random) -> Event:
    """An event that is likely to meet a change of the clocks."""
    near = chosen.choice(CHANGES) + timedelta(days=chosen.randint(-40, 1))
    clock = time(chosen.choice((0, 1, 2, 2, 3, 9, 23)), chosen.choice((0, 30)))
    start = datetime.combine(near, clock)
    frequency = chosen.choice(("DAILY", "WEEKLY", "MONTHLY"))
    days = (
        {DAYS[start.weekday()], *chosen.sample(DAYS, chosen.randint(0, 3))}
        if frequency == "WEEKLY"
        else set()
    )
    month_days = (start.day, *chosen.sample((1, 15, 30, 31, -1), chosen.randint(0, 2)))
    until = start.replace(tzinfo=UTC) + timedelta(days=chosen.randint(1, 90), hours=chosen.randint(0, 23))
    bounded = chosen.choice((None, "count", "until"))
    return Event(
        zone=chosen.choice(ZONES),
        start=start,
        frequency=frequency,
        interval=chosen.choice((1, 1, 2, 3)),
        days=tuple(sorted(days, key=DAYS.index)),
        month_days=tuple(sorted(set(month_days))) if frequency == "MONTHLY" else (),
        count=chosen.randint(1, 20) if bounded == "count" else None,
        until=until if bounded == "until" else None,
        lasts=chosen.choice(((0, 30), (0, 90), (0, 480), (1, 0), (1, 60), (2, 0))),
        by_end=chosen.random() < 0.3,
        skipped=tuple(start + timedelta(days=chosen.randint(0, 30)) for _ in range(chosen.randint(0, 2))),
    )


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _wall(instant: datetime) -> str:
    return f"{instant:%Y%m%dT%H%M%S}"
