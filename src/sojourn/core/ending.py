"""Why a session ends or is suspended: a closed set of reasons, and which cause wins.

The first cause wins and is kept. A new source of signals maps onto one of these reasons,
so it never reaches into the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The closed set of reasons."""

    COMPLETED = "completed"  # the workload said that the work is done
    KILLED = "killed"  # a person ended it
    WINDOW_CLOSED = "window_closed"
    MISSED_BEAT = "missed_beat"
    NOT_ACTIVATED = "not_activated"  # approved, but nobody came for it in time
    ACTIVATION_FAILED = "activation_failed"  # a credential could not be made
    SECRET_LOST = "secret_lost"  # what was handed out once may not have arrived
    CONTEXT_CHANGED = "context_changed"
    PARENT_ENDED = "parent_ended"
    REFUSED = "refused"  # a person said no
    RESTORED = "restored"  # an operator ended it after a restore
    JOB_FINISHED = "job_finished"  # the system that ran the job says that it is over
    BUDGET_SPENT = "budget_spent"  # a budget of its charter is used up
    IDLE = "idle"  # no use was reported for as long as its charter allows
    POLICY_CHANGED = "policy_changed"  # its charter, a policy or a calendar does not allow it any more
    OWNER_LEFT = "owner_left"  # nobody answers for it any more
    SUPERSEDED = "superseded"  # an approved successor took its place
    APPROVAL_WITHDRAWN = "approval_withdrawn"  # an approver took the yes back
    KEY_REVOKED = "key_revoked"  # a key it depends on may be in other hands
    SUSPENDED = "suspended"  # not an end: the reason of a suspension by a person


@dataclass(frozen=True, slots=True)
class Cause:
    """Why: the reason, who or what gave it, and a detail for people (never a secret)."""

    reason: Reason
    source: str
    detail: str = ""
