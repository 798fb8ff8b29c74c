"""Calendars as a folder holds them: read again when they change, and allowing nothing when broken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from sojourn.adapters import ical_calendar
from sojourn.adapters.ical_calendar import ICalendars
from sojourn.adapters.system_clock import SystemClock
from sojourn.core.calendar import closing
from sojourn.core.errors import Unavailable
from tests.calendar.naive import calendar_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def around_now(hours: int = 1) -> str:
    now = SystemClock().now()
    opens, closes = now - timedelta(hours=1), now + timedelta(hours=hours)
    return calendar_of(f"DTSTART:{opens:%Y%m%dT%H%M%SZ}\r\nDTEND:{closes:%Y%m%dT%H%M%SZ}")


async def refused(calendars: ICalendars, name: str) -> str:
    with pytest.raises(Unavailable) as refusal:
        await calendars.hours(name)
    assert refusal.value.code == "calendar_unavailable"
    return refusal.value.message


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    calendars = ICalendars(tmp_path, SystemClock())
    place, now = tmp_path / "change.ics", SystemClock().now()

    missing = await refused(calendars, "change")
    place.write_text(around_now())
    first = await calendars.hours("change")
    place.write_text(around_now(hours=3))
    second = await calendars.hours("change")
    place.write_text("no calendar at all")
    broken = await refused(calendars, "change")

    assert "cannot be read" in missing and broken
    assert closing(second.spans, now) != closing(first.spans, now)
    assert first.digest != second.digest and first.tzdata
    assert second.known_until - now > timedelta(days=30)


@pytest.mark.parametrize("name", ["../keys/token", "a/b", "", ".hidden", "x" * 65, "a\x00"])
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "b.ics").write_text(around_now())

    assert "no name of a calendar" in await refused(ICalendars(tmp_path / "in", SystemClock()), name)


async def test_a_calendar_that_asks_for_years_of_work_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ical_calendar, "EXPAND_WITHIN_S", 0.5)
    never = "DTSTART:20200101T000000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"
    (tmp_path / "never.ics").write_text(calendar_of(*[never] * 20))

    assert "too long" in await refused(ICalendars(tmp_path, SystemClock()), "never")


async def test_a_file_beyond_a_mebibyte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "huge.ics").write_bytes(b"x" * ((1 << 20) + 1))

    assert "mebibyte" in await refused(ICalendars(tmp_path, SystemClock()), "huge")


class Calendar(BaseHTTPRequestHandler):
    """Serves one text, or a status."""

    text: ClassVar[str] = ""
    status: ClassVar[int] = 200
    asked: ClassVar[int] = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Calendar)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/change.ics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_an_address_serves_its_last_text_for_an_hour_and_then_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, ahead = SystemClock(), [0.0]
    start = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: start + ahead[0])
    calendars = ICalendars(tmp_path, clock)
    with served() as address:
        (tmp_path / "change.url").write_text(address)
        Calendar.text, Calendar.status, Calendar.asked = around_now(), 200, 0
        first = await calendars.hours("change")
        assert await calendars.hours("change") is first
        assert Calendar.asked == 1, "it is asked once in five minutes"
        ahead[0] = 301
        Calendar.text = around_now(hours=4)
        assert (await calendars.hours("change")).digest != first.digest
        Calendar.status = 302
        ahead[0] = 700
        assert (await calendars.hours("change")).digest != first.digest, "a failure is no news"
    ahead[0] = 301 + 3601

    assert "cannot be fetched" in await refused(calendars, "change")


@pytest.mark.parametrize("address", ["http://example.com/x.ics", "file:///etc/passwd", "gopher://x", ""])
async def test_only_https_addresses_are_asked(tmp_path: Path, address: str) -> None:
    (tmp_path / "change.url").write_text(address)

    assert "cannot be fetched: ValueError" in await refused(ICalendars(tmp_path, SystemClock()), "change")
