"""A session that takes the place of another: how a workload gets more, with its lineage on record.

Nothing is ever added to a session. A successor is asked for, judged and approved like any other
session; when it is active, the one that it names ends.
"""

from __future__ import annotations

from sojourn.core.client import Client
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound, Refused
from sojourn.core.ids import SessionId
from sojourn.core.session import LEAVING, Session, Task
from sojourn.ports.store import Store
from sojourn.services.end_session import EndSession


async def require_predecessor(store: Store, named: SessionId | None, client: Client, task: Task) -> None:
    """Refuse a predecessor that is not the client's own, of the same task, and still there.

    Raises:
        NotFound: code `unknown_session`.
        Refused: codes `session_ended`, `another_task`.
    """
    if named is None:
        return
    session = await store.session(named)
    if session is None or session.client != client.id:
        raise NotFound("unknown_session", f"there is no session `{named}`")
    if session.state in LEAVING:
        raise Refused("session_ended", "the session that would be superseded has ended")
    if session.task != task:
        raise Refused("another_task", "a successor is for the same task; no session serves two")


async def supersede(end: EndSession, successor: Session) -> None:
    """End what the successor takes the place of; asking twice changes nothing."""
    if successor.supersedes is not None:
        await end(successor.supersedes, Cause(Reason.SUPERSEDED, successor.id))
