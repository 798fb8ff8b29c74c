"""The rules beyond a charter's admission: the change window now, and the policies.

Each can only refuse or shorten. What decided is returned, to be kept with the approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sojourn.core.calendar import Bound
from sojourn.core.charter import Charter, OnClose
from sojourn.core.session import Session
from sojourn.services.change_windows import ChangeWindows
from sojourn.services.policy_book import PolicyBook


@dataclass(frozen=True, slots=True)
class Ruled:
    """The session as it may be opened, and what decided."""

    session: Session
    notes: Mapping[str, object]


class OpeningRules:
    """Judges a session that a charter has admitted."""

    def __init__(self, book: PolicyBook, windows: ChangeWindows) -> None:
        self._book = book
        self._windows = windows

    async def __call__(self, session: Session, charter: Charter) -> Ruled:
        """The session within its change window, if the policies allow it.

        Raises:
            Refused: codes `outside_window`, `policy_refused`, `policy_error`.
            Unavailable: codes `calendar_unavailable`, `store_unavailable`.
        """
        bound = await self._windows(charter.window, session.requested_at)
        within = session if bound is None else _within(session, bound)
        verdict = await self._book.require_open(within)
        decided: dict[str, object] = {"policy": verdict.number, "policies": list(verdict.policies)}
        return Ruled(within, {**decided, **(bound.notes if bound else {})})


def _within(session: Session, bound: Bound) -> Session:
    if bound.on_close is OnClose.SUSPEND:
        return replace(session, pauses_at=bound.closes)
    window = session.window.until(bound.closes)
    return replace(session, window=window, last_end=min(session.last_end, bound.closes))
