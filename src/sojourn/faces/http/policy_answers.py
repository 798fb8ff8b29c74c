"""What callers receive about policies and reviews."""

from __future__ import annotations

from sojourn.faces.http.answers import Answer, CauseView


class AppliedPolicyView(Answer):
    number: int
    changed: bool


class PolicyView(Answer):
    """The policy set that was applied last."""

    number: int
    text: str
    applied_at: str
    applied_by: str


class NamedPolicyView(Answer):
    id: str
    text: str


class ExplanationView(Answer):
    """What the policies answer, which of them decided, and the facts that they look at."""

    action: str
    on: dict[str, str]
    who: str
    about: str
    allowed: bool
    policy_set: int
    policies: list[NamedPolicyView]
    facts: dict[str, object]
    errors: list[str]
    why: str


class ApprovedView(Answer):
    """Who said yes, under which policy set, by which policies, and by which calendars."""

    by: str | None
    policy: int | None
    policies: list[str] | None
    calendars: list[dict[str, str]] | None


class SessionExplanationView(Answer):
    """Why a session goes on and what it may use, or why it does not."""

    session: str
    state: str
    charter: str
    closes: str
    pauses_at: str | None
    approved: ApprovedView | None
    cause: CauseView | None
    answers: list[ExplanationView]


class ReviewView(Answer):
    """The review of a break-glass session; without `done_at` it is still owed."""

    session: str
    charter: str
    owner: str
    owed_since: str
    done_by: str | None
    done_at: str | None
    note: str


class ReviewsView(Answer):
    reviews: list[ReviewView]
