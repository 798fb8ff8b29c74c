"""Every life a session and a lease can have: all transitions from all states, breadth first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sojourn.core import lease as leases
from sojourn.core import session as sessions
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import SojournError
from sojourn.core.ids import ClientId, LeaseId, OwnerId, SessionId, TargetId
from sojourn.core.lease import Lease, LeaseState, Residual
from sojourn.core.record import Row, Step
from sojourn.core.scope import AudienceGrant, Grants, TargetGrant, collect
from sojourn.core.session import BeatRule, Session, State, Task
from sojourn.core.window import Window
from sojourn.testing.clock import START

R = TypeVar("R", bound=Row)
Move = tuple[str, R, Step[R]]

DEPTH: Final = 7
LATER: Final = START + timedelta(seconds=10)
AFTER_THE_FENCE: Final = START + timedelta(seconds=3)
ALL: Final = collect(
    [TargetGrant("db", "shop", "reader"), AudienceGrant("api", "https://api", ("read", "write"))]
)
CAUSES: Final = (Cause(Reason.KILLED, "ops"), Cause(Reason.WINDOW_CLOSED, "sweep"))


def a_session() -> Session:
    """A session as it is asked for."""
    return Session(
        id=SessionId("ses_1"),
        version=1,
        state=State.REQUESTED,
        client=ClientId("cli_1"),
        owner=OwnerId("team"),
        task=Task("demo", "1"),
        charter="demo@1",
        key="key",
        grants=ALL,
        window=Window(START, START + timedelta(seconds=60)),
        last_end=START + timedelta(seconds=90),
        renewals_left=1,
        renew_by=timedelta(seconds=20),
        beat=BeatRule(timedelta(seconds=10), timedelta(seconds=30)),
        activate_by=START + timedelta(seconds=60),
        generation=1,
        context={},
        requested_at=START,
    )


def a_lease() -> Lease:
    """A lease as it is planned."""
    return Lease(
        id=LeaseId("lea_1"),
        version=1,
        state=LeaseState.PLANNED,
        session=SessionId("ses_1"),
        target=TargetId("tgt_1"),
        target_name="shop",
        grant="db",
        template="reader",
        handle="sj_1",
        revocation_class="A",
        issue_by=AFTER_THE_FENCE,
        expires_at=START + timedelta(seconds=90),
    )


def _narrowed(session: Session) -> Grants:
    return collect(grant for grant in session.grants.each() if grant.name != "db")


SESSION_MOVES: Final[dict[str, Callable[[Session], Step[Session]]]] = {
    "approve": lambda s: sessions.approve(s, "demo@1", LATER),
    "prepare": lambda s: sessions.prepare(s, LATER),
    "activate": lambda s: sessions.activate(s, LATER),
    "suspend": lambda s: sessions.suspend(s, Cause(Reason.SUSPENDED, "ops"), LATER),
    "resume": lambda s: sessions.resume(s, LATER),
    "renew": lambda s: sessions.renew(s, LATER),
    "narrow": lambda s: sessions.narrow(s, _narrowed(s), s.window, LATER),
    "shorten": lambda s: sessions.narrow(s, s.grants, s.window.until(START + timedelta(seconds=30)), LATER),
    "kill": lambda s: sessions.begin_end(s, CAUSES[0], LATER),
    "expire": lambda s: sessions.begin_end(s, CAUSES[1], LATER),
    "finish": lambda s: sessions.finish_end(s, LATER),
}


def _moves_of_lease(observed_from: datetime) -> dict[str, Callable[[Lease], Step[Lease]]]:
    return {
        "issued": lambda one: leases.issued(one, "16384", LATER),
        "settle": lambda one: leases.settle(one, "16384", LATER),
        "unsent": lambda one: leases.settle(one, None, LATER),
        "locate": lambda one: leases.located(one, "16384", LATER),
        "freeze": lambda one: leases.frozen(one, "seen", LATER),
        "thaw": lambda one: leases.thaw(one, AFTER_THE_FENCE + timedelta(seconds=5), LATER),
        "destroy": lambda one: leases.begin_destroy(one, LATER),
        "stuck": lambda one: leases.stuck(one, Residual("shop", None, "team"), LATER),
        "destroyed": lambda one: leases.destroyed(one, "seen", observed_from, LATER),
    }


LEASE_MOVES: Final = {
    **{f"early {name}": move for name, move in _moves_of_lease(START).items()},
    **{f"late {name}": move for name, move in _moves_of_lease(START + timedelta(seconds=60)).items()},
}


def lives_of_sessions() -> Iterator[Move[Session]]:
    """(name of the move, before, step) for every move that is allowed."""
    return _explore(a_session(), SESSION_MOVES, lambda s: repr(replace(s, version=0, generation=0)))


def lives_of_leases() -> Iterator[Move[Lease]]:
    """The same for leases."""
    return _explore(a_lease(), LEASE_MOVES, lambda one: repr(replace(one, version=0)))


def _explore(
    first: R, moves: dict[str, Callable[[R], Step[R]]], alike: Callable[[R], Hashable]
) -> Iterator[Move[R]]:
    """Breadth first; rows that are alike (but for counters) are gone through once."""
    seen = {alike(first)}
    waiting = deque([(first, 0)])
    while waiting:
        before, depth = waiting.popleft()
        for name, move in moves.items():
            try:
                step = move(before)
            except SojournError:
                continue
            yield name, before, step
            if alike(step.row) not in seen and depth < DEPTH:
                seen.add(alike(step.row))
                waiting.append((step.row, depth + 1))
