"""iCalendar text into spans, in a process of its own that can be stopped.

A few lines of text can ask for years of work, so whoever wants spans runs this module as a
program and stops it when it takes too long. RFC 5545, with what is refused: floating times
and dates without a time, EXRULE, rules finer than a day, and anything broken.
"""

from __future__ import annotations

import json
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import icalendar
import recurring_ical_events

from sojourn.core.calendar import merged
from sojourn.core.errors import Invalid
from sojourn.core.window import Window, from_micros, to_micros

MOST_EVENTS: Final = 1000
MOST_SPANS: Final = 20_000
OLDEST: Final = timedelta(days=3660)
_LASTS: Final = "X-SOJOURN-LASTS"
_LONGEST: Final = timedelta(days=31)
_TOO_FINE: Final = frozenset({"SECONDLY", "MINUTELY", "HOURLY"})


def expand(text: str, first: datetime, last: datetime) -> tuple[Window, ...]:
    """The instants of all events from `first` to `last`, merged.

    Raises:
        Invalid: code `bad_calendar`.
    """
    try:
        calendar = icalendar.Calendar.from_ical(text)
        events = list(calendar.walk("VEVENT"))
        if calendar.errors or len(events) > MOST_EVENTS:
            raise _bad(f"expected at most {MOST_EVENTS} events and no broken line")
        for event in events:
            _judge(event, first)
        return merged(_spans(calendar, first, last))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise _bad(f"{type(error).__name__}: {str(error)[:200]}") from error


def _judge(event: Any, first: datetime) -> None:
    """Refuse what has no single meaning, and note how long the event lasts."""
    name = str(event.get("UID", "?"))[:80]
    if event.errors:
        raise _bad(f"event `{name}`: {str(event.errors[0])[:200]}")
    if "EXRULE" in event:
        raise _bad(f"event `{name}`: EXRULE is obsolete and refused")
    for instant in _instants(event):
        if not isinstance(instant, datetime) or instant.tzinfo is None:
            raise _bad(f"event `{name}`: expected times with a zone or `Z`, got `{instant}`")
    start = event["DTSTART"].dt
    rules = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        if _TOO_FINE & {str(one).upper() for one in rule.get("FREQ", [])}:
            raise _bad(f"event `{name}`: rules finer than a day are refused")
        if first - start > OLDEST:
            raise _bad(f"event `{name}`: a rule that began more than ten years ago is refused")
    event.add(_LASTS, _lasting(event, name))


def _instants(event: Any) -> Iterator[object]:
    yield event["DTSTART"].dt
    if "DTEND" in event:
        yield event["DTEND"].dt
    if "RECURRENCE-ID" in event:
        yield event["RECURRENCE-ID"].dt
    for name in ("RDATE", "EXDATE"):
        lists = event.get(name, [])
        for one in lists if isinstance(lists, list) else [lists]:
            yield from (item.dt[0] if isinstance(item.dt, tuple) else item.dt for item in one.dts)


def _lasting(event: Any, name: str) -> str:
    """Days by the calendar and seconds by the clock, as `DAYS SECONDS` (RFC 5545, 3.8.5.3)."""
    if "DURATION" in event:
        span = event["DURATION"].dt
        days, exact = span.days, span - timedelta(days=span.days)
    elif "DTEND" in event:
        days, exact = 0, event["DTEND"].dt.astimezone(UTC) - event["DTSTART"].dt.astimezone(UTC)
    else:
        raise _bad(f"event `{name}`: expected DTEND or DURATION")
    if not timedelta(0) < timedelta(days=days) + exact <= _LONGEST:
        raise _bad(f"event `{name}`: expected to last at most 31 days, and not to end before it begins")
    return f"{days} {int(exact.total_seconds())}"


def _spans(calendar: Any, first: datetime, last: datetime) -> Iterator[Window]:
    # What began before and still lasts belongs to it.
    found = recurring_ical_events.of(calendar).between(first - _LONGEST, last)
    for count, event in enumerate(found):
        if count >= MOST_SPANS:
            raise _bad(f"expected at most {MOST_SPANS} occurrences in the time that is worked out")
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        days, seconds = (int(part) for part in str(event[_LASTS]).split())
        start = event["DTSTART"].dt
        # Days follow the wall clock of the zone, seconds follow time itself.
        closes = (start + timedelta(days=days)).astimezone(UTC) + timedelta(seconds=seconds)
        opens = max(start.astimezone(UTC), first)
        if opens < min(closes, last):
            yield Window(opens, min(closes, last))


def _bad(detail: str) -> Invalid:
    return Invalid("bad_calendar", detail)


def pin_zones() -> None:
    """Take time zone rules from the package `tzdata` alone, whatever the machine has."""
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()


def main() -> None:
    """Read text from standard input, and the two instants in microseconds as arguments."""
    pin_zones()
    first, last = (from_micros(int(word)) for word in sys.argv[1:3])
    try:
        spans = expand(sys.stdin.buffer.read().decode("utf-8"), first, last)
        answer: dict[str, object] = {
            "spans": [[to_micros(one.opens), to_micros(one.closes)] for one in spans]
        }
    except (Invalid, UnicodeDecodeError, RecursionError) as error:
        answer = {"error": str(error)[:300]}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
