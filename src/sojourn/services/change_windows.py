"""Is the change window of a charter open now, until when, and when does it open next?"""

from __future__ import annotations

from datetime import datetime

from sojourn.core.calendar import Bound, Hours, closing, next_opening, without
from sojourn.core.charter import OnClose, WindowRule
from sojourn.core.errors import NotFound, Refused
from sojourn.core.session import Session
from sojourn.core.window import show
from sojourn.ports.calendar import Calendars
from sojourn.ports.store import Store


class ChangeWindows:
    """Asks the calendars that charters name."""

    def __init__(self, store: Store, calendars: Calendars) -> None:
        self._store = store
        self._calendars = calendars

    async def __call__(self, rule: WindowRule | None, now: datetime) -> Bound | None:
        """What an open window does to a session; None where the charter has no window.

        Raises:
            Refused: code `outside_window`, saying when it opens next.
            Unavailable: code `calendar_unavailable`.
        """
        if rule is None:
            return None
        read = [await self._calendars.hours(rule.calendar)]
        if rule.blackout is not None:
            read.append(await self._calendars.hours(rule.blackout))
        blackout = read[1].spans if len(read) > 1 else ()
        open_spans = without(read[0].spans, blackout)
        closes = closing(open_spans, now)
        if closes is None:
            raise Refused("outside_window", _when(rule, next_opening(open_spans, now)))
        return Bound(closes, rule.on_close, {"calendars": [_told(hours) for hours in read]})

    async def of(self, session: Session, now: datetime) -> Bound | None:
        """As above, for the charter version that the session was opened under.

        Raises:
            Refused, Unavailable: as above.
            NotFound: code `unknown_charter`; the version is not there.
        """
        name, _, number = session.charter.rpartition("@")
        charter = await self._store.charter(name, int(number)) if number.isdecimal() else None
        if charter is None:
            raise NotFound("unknown_charter", f"there is no charter `{session.charter}`")
        return await self(charter.window, now)

    async def pause_of(self, session: Session, now: datetime) -> datetime | None:
        """When a session that is resumed now will be suspended again; None: not by a window.

        Raises:
            As `of`.
        """
        bound = await self.of(session, now)
        return bound.closes if bound and bound.on_close is OnClose.SUSPEND else None


def _when(rule: WindowRule, opens: datetime | None) -> str:
    where = f"calendar `{rule.calendar}`" + (f" without `{rule.blackout}`" if rule.blackout else "")
    later = f"opens next at `{show(opens)}`" if opens else "does not open within 30 days"
    return f"{where} is closed now and {later}"


def _told(hours: Hours) -> dict[str, str]:
    return {"name": hours.name, "digest": hours.digest, "tzdata": hours.tzdata}
