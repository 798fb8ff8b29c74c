"""Calendars from the files of a folder, or from addresses in it, read again when they change.

Hours are worked out once for the next 32 days, in a process of its own with an end, and kept
until the text changes or a day has passed. A file is looked at before each use. A URL is
fetched every five minutes; when it cannot be reached, the last text serves for an hour, then
the calendar allows nothing. Text that cannot be read allows nothing at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import httpx2
import tzdata

from sojourn.core.calendar import Hours
from sojourn.core.errors import Unavailable
from sojourn.core.window import Window, from_micros, to_micros
from sojourn.ports.clock import Clock

AHEAD: Final = timedelta(days=32)
BEHIND: Final = timedelta(days=1)
FETCH_EVERY_S: Final = 300.0
STALE_AFTER_S: Final = 3600.0
EXPAND_WITHIN_S: Final = 10.0
_AFTER_FAILURE_S: Final = 10.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST: Final = 1 << 20
_FETCH_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Read:
    """A calendar as last worked out, or why it could not be."""

    stamp: object  # what tells one text from another without working it out
    heard: float  # monotonic: when its source last gave this text
    tried: float  # monotonic: when its source was last asked
    hours: Hours | None
    error: str = ""


class ICalendars:
    """The calendars of a folder (`ports.calendar.Calendars`): NAME.ics, or NAME.url with an address."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._read: dict[str, _Read] = {}
        self._lock = asyncio.Lock()

    async def hours(self, name: str) -> Hours:
        """The hours of a calendar.

        Raises:
            Unavailable: code `calendar_unavailable`.
        """
        if not _NAME.fullmatch(name):
            raise _unavailable(name, "this is no name of a calendar")
        async with self._lock:  # one at a time: what is worked out once serves all who wait
            known = self._read[name] = await self._fresh(name, self._read.get(name))
        if known.hours is None:
            raise _unavailable(name, known.error)
        return known.hours

    async def _fresh(self, name: str, known: _Read | None) -> _Read:
        now = self._clock.monotonic()
        address = self._folder / f"{name}.url"
        if address.exists():
            return await self._from_url(name, address, known, now=now)
        path = self._folder / f"{name}.ics"
        try:
            state = path.stat()
            stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
            if known and known.stamp == stamp and (self._reaches(known) or _failed_lately(known, now)):
                return known
            text = await asyncio.to_thread(_file, path)
        except OSError as error:
            return _Read(None, now, now, None, f"it cannot be read: {error.strerror}")
        return await self._work_out(name, text, stamp, now)

    async def _from_url(self, name: str, address: Path, known: _Read | None, *, now: float) -> _Read:
        if known and (self._reaches(known) or known.hours is None):
            pause = FETCH_EVERY_S if known.heard == known.tried and known.hours else _AFTER_FAILURE_S
            if now - known.tried < pause:
                return known
        try:
            text = await _fetched(_address_in(address))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            if known and self._reaches(known) and now - known.heard < STALE_AFTER_S:
                return replace(known, tried=now)
            return _Read(None, now, now, None, f"it cannot be fetched: {type(error).__name__}")
        stamp = hashlib.sha256(text).hexdigest()
        if known and known.stamp == stamp and self._reaches(known):
            return replace(known, heard=now, tried=now)
        return await self._work_out(name, text, stamp, now)

    def _reaches(self, known: _Read) -> bool:
        """Whether what was worked out still reaches 30 days ahead, or nearly."""
        now = self._clock.now()
        hours = known.hours
        return hours is not None and hours.known_from <= now <= hours.known_until - AHEAD + BEHIND

    async def _work_out(self, name: str, text: bytes, stamp: object, looked: float) -> _Read:
        now = self._clock.now()
        first, last = now - BEHIND, now + AHEAD
        try:
            spans = await _expanded(text, first, last)
        except (ValueError, OSError, TimeoutError) as error:
            return _Read(stamp, looked, looked, None, str(error)[:300])
        digest = hashlib.sha256(text).hexdigest()
        hours = Hours(name, spans, first, last, digest, tzdata.IANA_VERSION)
        return _Read(stamp, looked, looked, hours)


async def _expanded(text: bytes, first: datetime, last: datetime) -> tuple[Window, ...]:
    """The spans, worked out by `ical_expand` in its own process."""
    words = (sys.executable, "-I", "-m", "sojourn.adapters.ical_expand")
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        *words, str(to_micros(first)), str(to_micros(last)), stdin=pipe, stdout=pipe, stderr=None
    )
    try:
        async with asyncio.timeout(EXPAND_WITHIN_S):
            written, _ = await program.communicate(text)
    except TimeoutError as error:
        raise TimeoutError("it takes too long to work out") from error
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    answer = json.loads(written or b'{"error": "it could not be worked out"}')
    if "error" in answer:
        raise ValueError(str(answer["error"]))
    return tuple(Window(from_micros(opens), from_micros(closes)) for opens, closes in answer["spans"])


def _failed_lately(known: _Read, now: float) -> bool:
    return known.hours is None and now - known.tried < _AFTER_FAILURE_S


def _address_in(place: Path) -> str:
    address = place.read_text("utf-8").strip()
    local = ("http://127.0.0.1", "http://localhost")
    if not address.startswith(("https://", *local)):
        raise ValueError("expected an https address")
    return address


def _file(path: Path) -> bytes:
    with path.open("rb") as opened:
        text = opened.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise OSError(27, "it is larger than a mebibyte")
    return text


async def _fetched(url: str) -> bytes:
    found = bytearray()
    async with (
        asyncio.timeout(_FETCH_S),
        httpx2.AsyncClient(follow_redirects=False, timeout=_FETCH_S, trust_env=False) as client,
        client.stream("GET", url) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        async for piece in answer.aiter_bytes():
            found += piece
            if len(found) > _LARGEST:
                raise ValueError("it is larger than a mebibyte")
    return bytes(found)


def _unavailable(name: str, why: str) -> Unavailable:
    return Unavailable("calendar_unavailable", f"calendar `{name}` allows nothing: {why}")
