"""Policies: what may be asked of them, what they answer, and the set in force as a row.

A charter admits; a policy can only refuse (decision 26 of the design, record 43). Questions
and answers are plain values here: which language decides, and how, is an adapter's.
Whether a session is live is never a question of policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from sojourn.core.ids import PolicyId
from sojourn.core.record import FactKind, RowKind, Step, born

MOST_BYTES: Final = 48_000
"""A policy set is one fact, and a fact is one entry of the log: 65,535 bytes at most."""

Value = str | int | bool | frozenset[str]


class Action(StrEnum):
    """What is asked about."""

    OPEN = "open"
    CONTINUE = "continue"
    USE = "use"
    DELEGATE = "delegate"
    APPROVE = "approve"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Party:
    """Who wants it, or what it is about: a kind, a name, and what is known of it."""

    kind: str
    name: str
    members: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """May `who` do `action` to `about`, with these facts?"""

    action: Action
    who: Party
    about: Party
    facts: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and what decided it.

    `policies` names those that permitted, or those that forbade; none of them in a refusal
    means that no policy permits it. With an error nothing is allowed.
    """

    allowed: bool
    number: int  # of the policy set; 0 is the one that is shipped
    policies: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    suspends: bool = False  # the policies that forbade ask for suspension rather than an end

    @property
    def forbidden(self) -> bool:
        """Whether a policy said no, as opposed to none saying yes or an error."""
        return not self.allowed and bool(self.policies) and not self.errors


@dataclass(frozen=True, slots=True)
class PolicySet:
    """One immutable version of all policies of the deployment."""

    id: PolicyId
    version: int  # of the row: always 1
    number: int  # of the set: 1, 2, 3 …
    text: str
    applied_at: datetime
    applied_by: str


DEFAULT: Final = """@id("charters-admit")
permit (principal, action, resource);
"""
"""What is in force until a set is applied: nothing is refused that a charter admits."""


def apply(policies: PolicySet) -> Step[PolicySet]:
    """The set is in force from now on, for new sessions and for living ones."""
    return born(FactKind.POLICY_APPLIED, RowKind.POLICY, policies, policies.applied_at)
