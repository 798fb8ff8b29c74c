"""The real policies behind the face, over the store of the tests."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.adapters.cedar_policy import CedarEngine
from sojourn.adapters.system_clock import SystemEntropy
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services.apply_policy import ApplyPolicy
from sojourn.services.explain_policy import ExplainPolicy
from sojourn.services.policy_book import PolicyBook
from sojourn.services.review_session import ReviewSession


@dataclass
class Ruling:
    """Applies, explains and asks policies."""

    store: Store
    clock: Clock

    def __post_init__(self) -> None:
        engine = CedarEngine()
        book = PolicyBook(self.store, self.clock, engine)
        self.apply = ApplyPolicy(self.store, self.clock, SystemEntropy(), engine)
        self.explain = ExplainPolicy(self.store, book, self.clock)
        self.operate = book.require_operate
        self.review = ReviewSession(self.store, self.clock)
