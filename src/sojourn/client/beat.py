"""The beat thread: tells the server that the workload lives, and us when it no longer may.

Independent of what the workload does. Silence counts from the sending of the last beat that
was answered; the window's end counts even when nobody answers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread
from typing import Final

from sojourn.client.clock import EdgeClock
from sojourn.client.session import LiveSession
from sojourn.core.errors import (
    Conflict,
    NotFound,
    Refused,
    SojournError,
    Unauthenticated,
)

_RETRY_S: Final = 0.5  # while the server is away; well inside the shortest missed_after (2 s)
_GONE: Final = (Refused, NotFound, Conflict, Unauthenticated)

OnEnd = Callable[[str], None]
OnHeard = Callable[[float], None]


def _nothing(seconds: float) -> None:
    return None


class BeatThread:
    """Beats until stopped or until the session is over; `on_end` is called once, with the reason."""

    def __init__(self, live: LiveSession, on_end: OnEnd, *, on_heard: OnHeard = _nothing) -> None:
        self._live, self._on_end, self._on_heard = live, on_end, on_heard
        self._clock, self._stop = EdgeClock(), Event()
        self._thread = Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        """Begin; the opening counts as the first beat."""
        self._note(self._clock.monotonic())
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; does not wait for one that is under way."""
        self._stop.set()

    def _run(self) -> None:
        wait = self._next()
        while not self._stop.wait(wait):
            reason = self._over() or self._beat()
            if reason is not None:
                self._live.mark_over()
                self._on_end(reason)
                return
            wait = self._next()

    def _beat(self) -> str | None:
        sent_at = self._clock.monotonic()
        try:
            view = self._live.beat()
        except _GONE as error:
            return None if self._stop.is_set() else _reason(error)
        except SojournError:
            self._failing = True
            return self._over()
        if view.leaving:
            return view.reason or "ended"
        self._note(sent_at)
        return None

    def _note(self, sent_at: float) -> None:
        self._failing = False
        view = self._live.view
        self._silent_at = sent_at + view.missed_after.total_seconds()
        self._closes_at = sent_at + max(self._live.closes_in, timedelta(0)).total_seconds()
        self._on_heard(min(self._silent_at, self._closes_at) - self._clock.monotonic())

    def _over(self) -> str | None:
        now = self._clock.monotonic()
        if now >= self._closes_at:
            return "window_closed"
        return "missed_beat" if now >= self._silent_at else None

    def _next(self) -> float:
        due = _RETRY_S if self._failing else self._live.view.beat_every.total_seconds()
        left = min(self._silent_at, self._closes_at) - self._clock.monotonic()
        return max(0.0, min(due, left))


def _reason(error: SojournError) -> str:
    return error.message if error.code == "session_ended" else error.code
