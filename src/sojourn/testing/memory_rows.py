"""What the memory store answers with: feed entries, leaves, and which session fits a filter."""

from __future__ import annotations

import json

from sojourn.core.change import Revocation
from sojourn.core.record import Fact
from sojourn.core.session import Session
from sojourn.ports.store import FeedEntry, SessionFilter


def entry_of(n: int, revocation: Revocation) -> FeedEntry:
    return FeedEntry(n, revocation.kind, revocation.id, revocation.min_generation)


def leaf_of(index: int, fact: Fact) -> bytes:
    body = {"index": index, "kind": fact.kind, "id": fact.id, "at": fact.at, "changes": fact.changes}
    return json.dumps(body, default=str, sort_keys=True).encode()


def fits(session: Session, which: SessionFilter) -> bool:
    return (
        which.client in (None, session.client)
        and (which.states is None or session.state in which.states)
        and which.owner in (None, session.owner)
        and which.charter in (None, session.charter, session.task.kind)
        and which.task_ref in (None, session.task.ref)
    )
