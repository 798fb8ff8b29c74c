"""One run of work opens one session: the mark that sees to it.

A session that never came to life does not count, and neither does one that its own key gave up
because its secrets were lost on the way: the run may ask again, a few times.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from sojourn.core.change import Once
from sojourn.core.ending import Reason
from sojourn.core.errors import Refused
from sojourn.core.ids import SessionId
from sojourn.core.session import LEAVING, Session, reason_of
from sojourn.ports.store import Store

RUN_MARK: Final = "run"
_KEPT_FOR: Final = timedelta(days=36)  # a run of GitHub ends after 35 days at the latest
_TRIES: Final = 8
_UNBORN: Final = frozenset(
    {Reason.ACTIVATION_FAILED, Reason.NOT_ACTIVATED, Reason.REFUSED, Reason.SECRET_LOST}
)


async def claim_run(store: Store, run: str | None, session: Session) -> tuple[Once, ...]:
    """The mark by which `session` becomes the one session of `run`; nothing without a run.

    Raises:
        Refused: code `run_spent`; the run has had its session.
    """
    if run is None:
        return ()
    now = session.requested_at
    digest = hashlib.sha256(run.encode()).hexdigest()
    for number in range(1, _TRIES + 1):
        key = f"{digest}:{number}"
        earlier = await store.mark(RUN_MARK, key, now)
        if earlier is None:
            return (Once(RUN_MARK, key, now + _KEPT_FOR, session.id),)
        if not _spared(await store.session(SessionId(earlier)), session.key):
            break
    raise Refused("run_spent", "this run of the job has had its session; a new attempt gets a new one")


def _spared(earlier: Session | None, key: str) -> bool:
    if earlier is None or earlier.state not in LEAVING:
        return False
    return earlier.key == key or reason_of(earlier) in _UNBORN
