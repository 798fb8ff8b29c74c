"""Decide by policies that people wrote.

An engine is pure: it knows no sessions, no store and no clock, and gives the same answer to
the same question for ever.
"""

from __future__ import annotations

from typing import Protocol

from sojourn.core.policy import Action, Question, Verdict


class Policies(Protocol):
    """One policy set, read and validated."""

    @property
    def number(self) -> int:
        """The number of the set."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of its policies, in their order."""
        ...

    def judge(self, question: Question) -> Verdict:
        """Answer; any error in any policy that might matter is a refusal that names it.

        Never raises.
        """
        ...

    def always(self, action: Action) -> Verdict | None:
        """The one answer to every question about `action`, if there is but one: none needs to be asked."""
        ...

    def reads(self, question: Question) -> frozenset[str]:
        """The facts that the policies which might matter to `question` look at."""
        ...

    def text_of(self, name: str) -> str:
        """The policy of that id as it was written, in the engine's own layout; empty if unknown."""
        ...


class PolicyEngine(Protocol):
    """Reads policy sets."""

    def load(self, text: str, number: int) -> Policies:
        """The set that `text` says.

        However hostile the text, the process goes on.

        Raises:
            Invalid: code `bad_policy`, naming the policy and what is wrong with it.
        """
        ...
