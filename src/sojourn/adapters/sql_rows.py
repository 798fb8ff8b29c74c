"""How a core row lies in its table: its columns, its `doc`, and the row read back.

The same columns are written by the store and expected by the replay check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, assert_never, cast

from sojourn.adapters.codec import decode, from_bytes, plain, to_bytes
from sojourn.core.approval import Approval
from sojourn.core.charter import Charter
from sojourn.core.client import Client
from sojourn.core.deadlines import next_due
from sojourn.core.hook import Hook
from sojourn.core.kill import Kill
from sojourn.core.lease import Lease
from sojourn.core.policy import PolicySet
from sojourn.core.record import Row, RowKind
from sojourn.core.review import Review
from sojourn.core.session import Session
from sojourn.core.signing_key import SigningKey
from sojourn.core.target import Target
from sojourn.core.trigger import Trigger

R = TypeVar("R")
Columns = dict[str, Any]

# What an update may set. The other columns are indexed and never change: not naming them
# spares the index work.
CHANGING: Final[Mapping[RowKind, tuple[str, ...]]] = {
    RowKind.SESSION: ("version", "state", "reason", "due_at", "facts", "doc"),
    RowKind.LEASE: ("version", "state", "doc"),
    RowKind.CLIENT: ("version", "name", "removed_at", "doc"),
    RowKind.CHARTER: ("version", "doc"),
    RowKind.TARGET: ("version", "name", "state", "doc"),
    RowKind.KILL: ("version", "state", "n", "doc"),
    RowKind.APPROVAL: ("version", "state", "doc"),
    RowKind.TRIGGER: ("version", "removed_at", "doc"),
    RowKind.POLICY: ("version", "doc"),
    RowKind.REVIEW: ("version", "done_at", "doc"),
    RowKind.KEY: ("version", "state", "doc"),
    RowKind.HOOK: ("version", "removed_at", "doc"),
}


def columns_of(kind: RowKind, row: Row, members: Columns | None = None) -> Columns:
    """Every column of the row, but for the count of a session's facts.

    `members` is the row in plain form, where the caller has it already.
    """
    doc = to_bytes(plain(row) if members is None else members, free=kind is RowKind.TARGET)
    return {"id": row.id, "version": row.version, "doc": doc.decode(), **_indexed(kind, row)}


def _indexed(kind: RowKind, row: Row) -> Columns:
    match kind:
        case RowKind.SESSION:
            return _session_columns(cast("Session", row))
        case RowKind.LEASE:
            lease = cast("Lease", row)
            return {
                "state": lease.state.value,
                "session": lease.session,
                "target": lease.target,
                "handle": lease.handle,
            }
        case RowKind.CLIENT:
            client = cast("Client", row)
            return {"name": client.name, "removed_at": client.removed_at}
        case RowKind.CHARTER:
            charter = cast("Charter", row)
            return {"name": charter.name, "number": charter.number}
        case RowKind.TARGET:
            target = cast("Target", row)
            return {"name": target.name, "state": target.state.value}
        case RowKind.KILL:
            kill = cast("Kill", row)
            picks = {"kind": kill.selector.kind.value, "subject": kill.selector.id}
            return {"state": kill.state.value, "n": kill.n, **picks}
        case RowKind.APPROVAL:
            approval = cast("Approval", row)
            return {"state": approval.state.value, "subject": approval.subject}
        case RowKind.TRIGGER:
            trigger = cast("Trigger", row)
            return {"name": trigger.name, "removed_at": trigger.removed_at}
        case RowKind.POLICY:
            return {"number": cast("PolicySet", row).number}
        case RowKind.REVIEW:
            review = cast("Review", row)
            return {"session": review.session, "done_at": review.done_at}
        case RowKind.KEY:
            key = cast("SigningKey", row)
            return {"purpose": key.purpose.value, "state": key.state.value}
        case RowKind.HOOK:
            hook = cast("Hook", row)
            return {"name": hook.name, "removed_at": hook.removed_at}
        case _:
            assert_never(kind)


def _session_columns(session: Session) -> Columns:
    return {
        "state": session.state.value,
        "client": session.client,
        "owner": session.owner,
        "charter": session.charter,
        "task_ref": session.task.ref,
        "depth": len(session.ancestors),
        "reason": session.cause.reason.value if session.cause else None,
        "due_at": next_due(session),
    }


def row_of(kind: type[R], doc: str) -> R:
    """The row out of its `doc`.

    Raises:
        Invalid: code `bad_record`; it was not written by us.
    """
    return decode(kind, from_bytes(doc))
