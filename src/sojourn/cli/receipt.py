"""The receipt: what became of a session and of each credential, with the times proven so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sojourn.client.jsonfacts import Json, text_or_none
from sojourn.client.session import LiveSession
from sojourn.client.views import SessionView
from sojourn.core.errors import SojournError, Unavailable
from sojourn.core.window import parse

_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A session at its end, as far as it is known."""

    session: SessionView
    leases: Sequence[Json]

    @property
    def residuals(self) -> int:
        """How many credentials are not proven gone, or left something behind."""
        return sum(1 for lease in self.leases if lease.get("destroyed_at") is None or lease.get("residual"))

    @property
    def took_ms(self) -> int | None:
        """From the refusal to the last credential proven dead; None before that."""
        refused, ended = (text_or_none(self.session.raw, n) for n in ("refused_at", "ended_at"))
        if self.session.state != "ended" or refused is None or ended is None:
            return None
        return _between(refused, ended)

    def to_json(self) -> dict[str, object]:
        """As `--json` shows it."""
        return {
            "session": dict(self.session.raw),
            "leases": [dict(lease) for lease in self.leases],
            "took_ms": self.took_ms,
            "residual": self.residuals,
        }

    def lines(self) -> Iterator[str]:
        """As people see it."""
        reason = f"({self.session.reason})" if self.session.reason else ""
        yield f"session {self.session.id} {self.session.state}{reason}"
        yield from (f"  {_lease_line(lease)}" for lease in self.leases)
        if self.took_ms is not None:
            yield f"verified dead in {self.took_ms} ms, {self.residuals} residual"
            return
        yield f"not proven dead yet: the server goes on; see `sojourn session show {self.session.id}`"


def await_receipt(live: LiveSession, *, wait_s: int) -> Receipt | SojournError:
    """Wait for the end, then read what there is; an error is a value here, for the end comes anyway."""
    try:
        view = live.look(until_ended_s=wait_s)
        return Receipt(view, live.leases())
    except SojournError as error:
        return error
    except ValueError as error:
        return Unavailable("bad_answer", f"the receipt could not be read: {type(error).__name__}")


def _lease_line(lease: Json) -> str:
    refused, destroyed = (text_or_none(lease, name) for name in ("refused_at", "destroyed_at"))
    handle, method = lease.get("handle"), lease.get("method") or "no method yet"
    if refused is None or destroyed is None:
        return f"{handle}: {lease.get('state')}, not proven gone{_left(lease.get('residual'))}"
    times = f"refused {_clock(refused)}, destroyed {_clock(destroyed)} ({_between(refused, destroyed)} ms)"
    residual = f", residual {lease['residual']}" if lease.get("residual") else ", 0 residual"
    return f"{handle}: {times}, by {method}{residual}"


def _left(residual: object) -> str:
    """Where something is left, until when, and whose it is."""
    if not isinstance(residual, dict):
        return ""
    until = residual.get("until")
    over = f" until {until}" if until else ""
    return f", residual at {residual.get('place')}{over}, owner {residual.get('owner')}"


def _clock(instant: str) -> str:
    at: datetime = parse(instant)
    return at.strftime("%H:%M:%S.%f")[:-3] + "Z"


def _between(earlier: str, later: str) -> int:
    return max(0, round((parse(later) - parse(earlier)) / _MILLISECOND))
