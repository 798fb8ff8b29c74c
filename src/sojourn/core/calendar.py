"""Hours out of calendars: half-open spans in UTC, and what they say of an instant.

Events of the change calendar allow, those of a blackout forbid and win. Recurrence, time
zones and files are an adapter's; here spans are sorted, merged and finite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sojourn.core.charter import OnClose
from sojourn.core.window import Window


@dataclass(frozen=True, slots=True)
class Hours:
    """When the events of one calendar are, as far as it was worked out."""

    name: str
    spans: tuple[Window, ...]  # sorted, apart from each other
    known_from: datetime
    known_until: datetime
    digest: str  # SHA-256 of the text it was read from
    tzdata: str  # the edition of the time zone rules


@dataclass(frozen=True, slots=True)
class Bound:
    """What a change window that is open now does to a session opened in it."""

    closes: datetime
    on_close: OnClose
    notes: Mapping[str, object]  # which calendars said so: kept with the decision


def merged(spans: Iterable[Window]) -> tuple[Window, ...]:
    """The same instants, in order and without overlaps or touching neighbours."""
    found: list[Window] = []
    for span in sorted(spans, key=lambda one: one.opens):
        if found and span.opens <= found[-1].closes:
            last = found.pop()
            span = Window(last.opens, max(last.closes, span.closes))
        found.append(span)
    return tuple(found)


def without(spans: Iterable[Window], holes: Iterable[Window]) -> tuple[Window, ...]:
    """The instants of `spans` that lie in none of `holes`."""
    left = list(merged(spans))
    for hole in merged(holes):
        left = [piece for span in left for piece in _around(span, hole)]
    return tuple(left)


def closing(spans: Iterable[Window], now: datetime) -> datetime | None:
    """When the span that holds `now` closes; None if none holds it."""
    return next((span.closes for span in spans if span.holds(now)), None)


def next_opening(spans: Iterable[Window], now: datetime) -> datetime | None:
    """When the next span after `now` opens, as far as they are known."""
    return min((span.opens for span in spans if span.opens > now), default=None)


def _around(span: Window, hole: Window) -> list[Window]:
    if hole.closes <= span.opens or span.closes <= hole.opens:
        return [span]
    before = [Window(span.opens, hole.opens)] if span.opens < hole.opens else []
    after = [Window(hole.closes, span.closes)] if hole.closes < span.closes else []
    return before + after
