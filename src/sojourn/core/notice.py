"""What a hook is told: one fact as a CloudEvent (CloudEvents 1.0.2, JSON format, structured mode).

`id` is the hash of the fact's leaf in the log, so that a repeated event shows itself and the fact
can be looked up in evidence; `sequence` is its place there. The data are chosen by hand, and hold
no secret: what an approver is shown, and who and what a session, order or lease is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sojourn.core.approval import Approval, status
from sojourn.core.ending import Cause
from sojourn.core.kill import Kill
from sojourn.core.session import Session
from sojourn.core.window import show
from sojourn.ledger.leaf import LeafRecord, record_hash

MEDIA_TYPE: Final = "application/cloudevents+json; charset=utf-8"
TYPE_PREFIX: Final = "sojourn."
_DIGITS: Final = 20

Data = dict[str, object]


def event_of(record: LeafRecord, data: Mapping[str, object], source: str) -> Data:
    """The event that tells of `record`; `source` is the issuer's address."""
    return {
        "specversion": "1.0",
        "id": record_hash(record).hex(),
        "source": source,
        "type": f"{TYPE_PREFIX}{record.kind}",
        "subject": str(record.body.get("id", "")),
        "time": show(record.at),
        "datacontenttype": "application/json",
        "sequence": str(record.index).zfill(_DIGITS),
        "data": dict(data),
    }


def about_approval(approval: Approval, requester: str, answer_at: str | None, now: datetime) -> Data:
    """The request as it stands at `now`, with the hash that an answer must repeat."""
    answers = [
        {
            "by": one.name,
            "answer": "approve" if one.yes else "deny",
            "at": show(one.at),
            "detail": one.detail,
            "via": one.via,
        }
        for one in approval.answers
    ]
    return {
        "approval": approval.id,
        "status": status(approval, now),
        "subject": approval.subject,
        "session": approval.session,
        "requester": requester,
        "owner": approval.owner,
        "approvals": approval.rule.approvals,
        "approvers": list(approval.rule.approvers),
        "shown": dict(approval.shown),
        "hash": approval.shown_hash,
        "expires_at": show(approval.answer_by),
        "answers": answers,
        "answer_at": answer_at,
    }


def about_session(session: Session, record: LeafRecord) -> Data:
    """Whose session it is and for what; state and cause are those that the fact speaks of."""
    changes = record.body.get("changes")
    told = changes if isinstance(changes, dict) else {}
    cause = told.get("cause")
    return {
        "session": session.id,
        "client": session.client,
        "owner": session.owner,
        "charter": session.charter,
        "task": {"kind": session.task.kind, "ref": session.task.ref},
        "state": told.get("state", str(session.state)),
        "cause": cause if isinstance(cause, dict) else _cause(session.cause),
    }


def about_kill(kill: Kill) -> Data:
    """Whom an order ends, by whom, and how many it has ended."""
    return {
        "kill": kill.id,
        "selects": {"kind": str(kill.selector.kind), "id": kill.selector.id},
        "state": str(kill.state),
        "cause": _cause(kill.cause),
        "ended": kill.ended,
    }


def about_lease(record: LeafRecord) -> Data:
    """What cannot be taken back yet: where, until when, and who answers for it."""
    found = {name: record.body.get(name) for name in ("lease", "place", "until", "owner")}
    return {"session": record.session, **found}


def _cause(cause: Cause | None) -> Data | None:
    if cause is None:
        return None
    return {"reason": str(cause.reason), "source": cause.source, "detail": cause.detail}
