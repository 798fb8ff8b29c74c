"""Where the rules meet their adapters: policies, calendars, and what holds sessions to them.

A part of `wiring`, with a file of its own because rules have many parts. Nothing here decides.
"""

from __future__ import annotations

from pathlib import Path

from sojourn.adapters.cedar_policy import CedarEngine
from sojourn.adapters.ical_calendar import ICalendars
from sojourn.config import Settings
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services.apply_policy import ApplyPolicy
from sojourn.services.change_windows import ChangeWindows
from sojourn.services.end_session import EndSession
from sojourn.services.explain_policy import ExplainPolicy
from sojourn.services.keep_allowed import KeepAllowed
from sojourn.services.narrow_session import NarrowSession
from sojourn.services.opening_rules import OpeningRules
from sojourn.services.policy_book import PolicyBook
from sojourn.services.reevaluate_sessions import ReevaluateSessions
from sojourn.services.review_session import ReviewSession
from sojourn.services.suspend_session import SuspendSession


class Ruling:
    """The rules of one deployment, and everything that asks them."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        settings: Settings,
        *,
        calendars: Path,
        end: EndSession,
        suspend: SuspendSession,
    ) -> None:
        engine = CedarEngine()
        self.book = PolicyBook(store, clock, engine)
        self.windows = ChangeWindows(store, ICalendars(calendars, clock))
        self.keep = KeepAllowed(self.book, clock, end=end, suspend=suspend)
        self.opening = OpeningRules(self.book, self.windows)
        self.apply = ApplyPolicy(store, clock, entropy, engine)
        self.explain = ExplainPolicy(store, self.book, clock)
        self.review = ReviewSession(store, clock)
        self.reevaluate = ReevaluateSessions(
            store,
            clock,
            book=self.book,
            windows=self.windows,
            keep=self.keep,
            narrow=NarrowSession(store, clock, entropy, settings),
            end=end,
            suspend=suspend,
        )
