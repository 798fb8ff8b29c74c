"""Windows out of iCalendar equal what a naive expander says, also where clocks are changed."""

from __future__ import annotations

import contextlib
import os
import random
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.adapters.ical_expand import expand
from sojourn.core.errors import Invalid
from tests.calendar.naive import calendar_of, random_event

FIRST, LAST = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)
ZONED = "DTSTART;TZID=Europe/Berlin:20260328T013000"


def test_two_thousand_rules_are_where_a_naive_expander_puts_them() -> None:
    assert agree(seed=1, rules=2000) > 1500


@pytest.mark.slow
def test_a_hundred_thousand_rules_are_where_a_naive_expander_puts_them() -> None:
    agree(seed=int(os.environ.get("SEED", "2")), rules=100_000)


def agree(*, seed: int, rules: int) -> int:
    """How many of the rules had occurrences in the time that was looked at."""
    chosen = random.Random(seed)
    hits = 0
    for _ in range(rules):
        event = random_event(chosen)
        first = event.start.replace(tzinfo=UTC) + timedelta(days=chosen.randint(-2, 30))
        last = first + timedelta(days=32)
        spans = [(one.opens, one.closes) for one in expand(event.text(), first, last)]
        assert spans == event.spans(first, last), f"seed {seed}: {event}"
        hits += bool(spans)
    return hits


@pytest.mark.parametrize(
    ("lines", "hours"),
    [
        ((ZONED, "DURATION:PT2H", "RRULE:FREQ=DAILY;COUNT=3"), [2, 2, 2]),  # by the clock
        ((ZONED, "DURATION:P1D", "RRULE:FREQ=DAILY;INTERVAL=2;COUNT=1"), [24]),
        (("DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:P1D"), [23]),  # by the calendar
        ((ZONED, "DTEND;TZID=Europe/Berlin:20260328T043000", "RRULE:FREQ=DAILY;COUNT=2"), [3, 3]),
        (("DTSTART;TZID=Europe/Berlin:20260329T023000", "DURATION:PT1H"), [1]),  # a time that is not there
    ],
)
def test_days_follow_the_calendar_and_hours_the_clock(lines: tuple[str, ...], hours: list[int]) -> None:
    spans = expand(calendar_of("\r\n".join(lines)), FIRST, LAST)

    assert [(span.closes - span.opens) / timedelta(hours=1) for span in spans] == hours


def test_a_moved_occurrence_and_a_cancelled_one_are_honoured() -> None:
    series = calendar_of(
        "DTSTART:20260310T100000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY;COUNT=3",
        "DTSTART:20260320T100000Z\r\nDURATION:PT1H\r\nSTATUS:CANCELLED",
    )
    moved = (
        "BEGIN:VEVENT\r\nUID:0\r\nDTSTAMP:20260101T000000Z\r\nRECURRENCE-ID:20260311T100000Z\r\n"
        "DTSTART:20260311T150000Z\r\nDURATION:PT2H\r\nEND:VEVENT\r\nEND:VCALENDAR"
    )

    spans = expand(series.replace("END:VCALENDAR", moved), FIRST, LAST)

    assert [f"{span.opens:%d %H}-{span.closes:%H}" for span in spans] == ["10 10-11", "11 15-17", "12 10-11"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("DTSTART:20260310T100000", "DURATION:PT1H"), "zone"),  # floating
        (("DTSTART;VALUE=DATE:20260310", "DURATION:P1D"), "zone"),
        (("DTSTART;TZID=Nowhere/City:20260310T100000", "DURATION:PT1H"), "zone"),
        ((ZONED, "DTEND:20260329T030000"), "zone"),
        ((ZONED, "DURATION:PT1H", "EXRULE:FREQ=DAILY"), "EXRULE"),
        ((ZONED, "DURATION:PT1H", "RRULE:FREQ=HOURLY"), "finer than a day"),
        ((ZONED, "DURATION:PT1H", "RRULE:FREQ=SECONDLY"), "finer than a day"),
        ((ZONED, "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=x"), "event"),
        ((ZONED, "DURATION:PT1H", "RRULE:FREQ=SOMETIMES"), "bad_calendar"),
        ((ZONED, "DURATION:-PT1H"), "before it begins"),
        ((ZONED, "DURATION:P40D"), "31 days"),
        ((ZONED,), "DTEND or DURATION"),
        (("DTSTART:19700101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY"), "ten years"),
        (("DTSTART:gibberish", "DURATION:PT1H"), "bad_calendar"),
        (("SUMMARY:nothing else",), "bad_calendar"),
    ],
)
def test_what_has_no_single_meaning_is_refused(lines: tuple[str, ...], says: str) -> None:
    with pytest.raises(Invalid, match=says) as refusal:
        expand(calendar_of("\r\n".join(lines)), FIRST, LAST)

    assert refusal.value.code == "bad_calendar"


@pytest.mark.parametrize("text", ["", "\x00", "BEGIN:VCALENDAR", "BEGIN:VEVENT\r\nEND:VEVENT", "<html>"])
def test_what_is_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="bad_calendar"):
        expand(text, FIRST, LAST)


def test_garbled_calendars_are_refused_or_read_and_never_break_out() -> None:
    chosen = random.Random(3)
    whole = random_event(chosen).text()
    for _ in range(500):
        place = chosen.randrange(len(whole))
        cut = whole[:place] + chosen.choice(("", "\x00", ":", ";", "\r\n", "99", "Z")) + whole[place + 1 :]
        with contextlib.suppress(Invalid):
            expand(cut, FIRST, LAST)
