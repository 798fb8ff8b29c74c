"""Windows are half-open, never empty, and instants survive every form they are written in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.errors import Invalid
from sojourn.core.window import Window, from_micros, parse, show, to_micros

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
instants = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants naive bounds


def test_a_window_holds_its_first_instant_and_not_its_last() -> None:
    window = Window(NOON, NOON + timedelta(minutes=1))

    assert window.holds(NOON)
    assert not window.holds(NOON + timedelta(minutes=1))
    assert not window.holds(NOON - timedelta(microseconds=1))


@pytest.mark.parametrize("span", [timedelta(0), timedelta(seconds=-1)])
def test_a_window_without_an_inside_is_refused(span: timedelta) -> None:
    with pytest.raises(Invalid) as refusal:
        Window(NOON, NOON + span)

    assert refusal.value.code == "bad_window"


def test_a_window_in_another_zone_is_refused() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=1)))

    with pytest.raises(Invalid):
        Window(elsewhere, elsewhere + timedelta(hours=1))


@given(instants)
def test_an_instant_is_the_same_in_micros_and_in_text(instant: datetime) -> None:
    assert from_micros(to_micros(instant)) == instant
    assert parse(show(instant)) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-23T12:00:00", "2026-13-01T00:00:00Z", "\x00"])
def test_what_is_no_instant_with_an_offset_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(text)

    assert refusal.value.code == "bad_instant"


@given(st.tuples(instants, instants, instants, instants))
def test_within_means_no_instant_outside(at: tuple[datetime, ...]) -> None:
    a, b, c, d = at
    if a >= b or c >= d:
        return
    inner, outer = Window(a, b), Window(c, d)

    expected = outer.holds(a) and (outer.holds(b) or b == d)

    assert inner.within(outer) == expected
