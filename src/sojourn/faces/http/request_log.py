"""The log: one JSON object a line, with the number of the request it is about.

What is said of a request is its method, its route (never the path as sent), its status and
code: no header, no query, no body, no id of anybody. A refusal is a line as long as there are
few of them; of a flood only the count is kept.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TextIO

log = logging.getLogger("sojourn.requests")

LINES_PER_SECOND: Final = 20
_MEMBERS: Final = ("method", "route", "status", "code", "ms", "unsaid")


@dataclass(slots=True)
class Noted:
    """What is known of the request in hand."""

    id: str
    began: float
    code: str | None = None


_current: ContextVar[Noted | None] = ContextVar("request", default=None)


def begin() -> Noted:
    """Number a request; the caller's own number for it is not believed."""
    noted = Noted(secrets.token_hex(8), time.monotonic())
    _current.set(noted)
    return noted


def note_code(code: str) -> None:
    """Remember with which error code the request in hand is answered."""
    noted = _current.get()
    if noted is not None:
        noted.code = code


@dataclass(slots=True)
class Sampler:
    """Says whether a line may be written, and counts those that may not."""

    clock: Callable[[], float] = time.monotonic
    _second: int = -1
    _said: int = 0
    _unsaid: int = field(default=0)

    def take(self) -> int | None:
        """How many lines went unsaid before this one; None when this one is unsaid, too."""
        second = int(self.clock())
        if second != self._second:
            self._second, self._said = second, 0
        if self._said >= LINES_PER_SECOND:
            self._unsaid += 1
            return None
        self._said += 1
        unsaid, self._unsaid = self._unsaid, 0
        return unsaid


def finish(scope: Mapping[str, object], status: int, sampler: Sampler) -> None:
    """Say what became of the request in hand: our failures always, refusals sampled, else at debug."""
    noted = _current.get()
    level = logging.ERROR if status >= 500 else logging.INFO if status >= 400 else logging.DEBUG
    if noted is None or not log.isEnabledFor(level):
        return
    unsaid = sampler.take() if level == logging.INFO else 0
    if unsaid is None:
        return
    told = {
        "method": scope.get("method"),
        "route": getattr(scope.get("route"), "path", None),
        "status": status,
        "code": noted.code,
        "ms": round((time.monotonic() - noted.began) * 1000, 1),
        "unsaid": unsaid or None,
    }
    log.log(level, "answered", extra={name: value for name, value in told.items() if value is not None})


class JsonLines(logging.Formatter):
    """A record as one line of ASCII: whatever it holds, a newline or an escape drives no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        noted = _current.get()
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if noted is not None:
            line["request"] = noted.id
        line |= {name: getattr(record, name) for name in _MEMBERS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def configure(stream: TextIO) -> None:
    """Send everything that is logged to `stream`: ours from `info`, libraries' from `warning`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    logging.getLogger("sojourn").setLevel(logging.INFO)
