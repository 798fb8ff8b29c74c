"""Reads, and `commit(Change)`: the only way to write state.

Contract. A change that is answered is durable (fsync), with its facts in the journal in
commit order. Reads see every change answered before they began. Calls may be cancelled: a
cancelled commit may or may not land, and the caller reads again. Every method raises
`Unavailable` when the database cannot answer in time, and nothing was granted then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sojourn.core.approval import Approval
from sojourn.core.change import Change, Errand, RevocationKind
from sojourn.core.charter import Budget, Charter
from sojourn.core.client import Client
from sojourn.core.hook import Hook, HookPlace
from sojourn.core.ids import ApprovalId, ClientId, ErrandId, HookId, KillId, LeaseId, SessionId, TargetId
from sojourn.core.kill import Kill, Selector
from sojourn.core.lease import Lease
from sojourn.core.policy import PolicySet
from sojourn.core.review import Review
from sojourn.core.session import Session, State
from sojourn.core.signing_key import SigningKey
from sojourn.core.target import Target
from sojourn.core.trigger import Trigger
from sojourn.core.usage import Amounts, Chunk, Usage, Use


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the order of commits: the deployment's epoch and the feed number in it."""

    epoch: int
    n: int


@dataclass(frozen=True, slots=True)
class Head:
    """The row that orders everything."""

    epoch: int
    journal_size: int
    feed_n: int

    @property
    def mark(self) -> Mark:
        """Its place in the feed."""
        return Mark(self.epoch, self.feed_n)


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One numbered revocation, as guards receive it."""

    n: int
    kind: RevocationKind
    id: str
    min_generation: int | None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Every entry after a mark. `snapshot` means: forget what you knew, this is all of it."""

    mark: Mark
    entries: tuple[FeedEntry, ...]
    snapshot: bool


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions to list; None means any."""

    client: ClientId | None = None
    states: frozenset[State] | None = None
    owner: str | None = None
    charter: str | None = None
    task_ref: str | None = None
    identity: str | None = None  # what names its job (`core.trigger.mark_of`); finds none that has ended
    facts: frozenset[tuple[str, str]] = frozenset()  # names and values in its context; may find a few more


@dataclass(frozen=True, slots=True)
class KillFilter:
    """Which kill orders to read; `after_n`: numbered later than that, or not numbered yet."""

    unfinished: bool = False
    after_n: int | None = None
    selector: Selector | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How far the rules have come: the newest policy set, and how many versions of charters."""

    policy: int  # 0: none was applied
    charters: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """A session that time may have ended, with its last beat if one is on record."""

    session: SessionId
    last_beat: datetime | None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One leaf of the journal: its index and its canonical bytes."""

    index: int
    leaf: bytes


class Store(Protocol):
    """State tables, journal, feed, errands and working tables, in one database."""

    async def commit(self, change: Change) -> Head:
        """Write `change`; the answer is the head right after it (its feed number included).

        Raises:
            Conflict: code `stale`; a version or a pin no longer holds: read and decide again.
            Refused: code `replayed` (a one-time mark exists) or `unknown_mark` (none to spend).
            Unavailable: code `store_unavailable` or `fenced`; nothing may be assumed.
        """
        ...

    async def head(self) -> Head:
        """The row that orders everything.

        Raises:
            Unavailable: code `fenced`; the epoch is another one than when this store was opened.
        """
        ...

    # -- state -------------------------------------------------------------------------
    async def session(self, session: SessionId) -> Session | None: ...

    async def family(self, root: SessionId) -> Sequence[Session]:
        """The session and its descendants, root first, parents before children."""
        ...

    async def statuses(self, name: str) -> Mapping[int, State] | None:
        """The states of the sessions in a status list that are not active; None if nobody is in it."""
        ...

    async def status_lists(self) -> Sequence[str]:
        """The status lists in which a session has not ended, by name."""
        ...

    async def descendants(self, roots: Collection[SessionId]) -> Sequence[Session]:
        """Every descendant of any of `roots` that has not ended."""
        ...

    async def sessions(
        self, which: SessionFilter, *, after: SessionId | None, limit: int
    ) -> Sequence[Session]:
        """Sessions in the order of their ids, from the one following `after`."""
        ...

    async def lease(self, lease: LeaseId) -> Lease | None: ...

    async def leases(self, session: SessionId) -> Sequence[Lease]: ...

    async def leases_of(self, sessions: Collection[SessionId]) -> Mapping[SessionId, Sequence[Lease]]:
        """The leases of many sessions; those without any are left out."""
        ...

    async def living_leases(self, target: TargetId) -> int:
        """How many leases of the target are not destroyed."""
        ...

    async def client(self, client: ClientId) -> Client | None: ...

    async def client_named(self, name: str) -> Client | None:
        """The client of that name that is not removed."""
        ...

    async def clients(self) -> Sequence[Client]: ...

    async def charter(self, name: str, number: int | None = None) -> Charter | None:
        """A charter; without `number` its newest version."""
        ...

    async def charters(self) -> Sequence[Charter]: ...

    async def policy(self, number: int | None = None) -> PolicySet | None:
        """A policy set; without `number` the newest; None while none was applied."""
        ...

    async def review(self, session: SessionId) -> Review | None:
        """The review that a break-glass session owes, or owed; None for any other session."""
        ...

    async def reviews(self, *, owed: bool, limit: int) -> Sequence[Review]:
        """Reviews, the oldest first; only those that are still owed, if asked."""
        ...

    async def rules(self) -> Rules:
        """How far policies and charters have come; cheap, so that it can be asked often."""
        ...

    async def target_named(self, name: str) -> Target | None: ...

    async def target(self, target: TargetId) -> Target | None: ...

    async def targets(self) -> Sequence[Target]: ...

    async def trigger_named(self, name: str) -> Trigger | None:
        """The trigger of that name that is not removed."""
        ...

    async def triggers(self) -> Sequence[Trigger]:
        """Triggers that are not removed."""
        ...

    async def hooks(self) -> Sequence[Hook]:
        """Hooks that are not removed."""
        ...

    async def approval(self, approval: ApprovalId) -> Approval | None: ...

    async def approvals(self, subject: str | None = None) -> Sequence[Approval]:
        """Requests about a session or template; without `subject` those that nobody has decided."""
        ...

    async def kill(self, kill: KillId) -> Kill | None: ...

    async def kills(self, which: KillFilter) -> Sequence[Kill]:
        """Kill orders, in the order of their ids."""
        ...

    async def signing_keys(self) -> Sequence[SigningKey]:
        """Every signing key there ever was, oldest first."""
        ...

    # -- working tables ----------------------------------------------------------------
    async def mark(self, kind: str, key: str, now: datetime) -> str | None:
        """The value of a one-time mark that has not expired, or None."""
        ...

    async def sealed(self, name: str) -> bytes | None: ...

    async def note_beats(self, beats: Collection[tuple[SessionId, datetime, datetime | None]]) -> None:
        """Record (session, last beat, when silence counts as missed); None: no beat is owed."""
        ...

    async def last_beat(self, session: SessionId) -> datetime | None: ...

    async def overdue(self, now: datetime, *, beats_until: datetime, limit: int) -> Sequence[Overdue]:
        """Sessions whose deadline is at or before `now`, or whose beat is due at or before `beats_until`.

        `beats_until` may lag behind `now`: after a restart silence is forgiven for one beat timeout.
        """
        ...

    async def reserve_use(self, wanted: Chunk, budget: Budget) -> Amounts:
        """Take at most `wanted` out of an account, all at once; nothing is held if nothing is left."""
        ...

    async def report_use(self, use: Use, now: datetime) -> bool:
        """Take note of a use; false for a chunk that is unknown, another's, or came too late."""
        ...

    async def usage(self, session: SessionId, account: SessionId, now: datetime) -> Usage:
        """The account of a family, and what one session of it exercised."""
        ...

    async def hook_place(self, hook: HookId) -> HookPlace | None:
        """How far the hook has come; None before its first turn."""
        ...

    async def hold_hook(self, hook: Hook, holder: str, now: datetime, until: datetime) -> HookPlace | None:
        """Take the hook's place; None while another holds it, or it waits for its retry.

        A hook that had no turn begins with the fact at its `since`.
        """
        ...

    async def move_hook(self, hook: HookId, holder: str, to: HookPlace) -> bool:
        """Write down how far the hook has come, and let go of it; false if `holder` has lost it."""
        ...

    async def forget_expired(self, now: datetime) -> int:
        """Delete one-time marks and revocations that can concern nothing any more."""
        ...

    # -- errands -----------------------------------------------------------------------
    async def claim(
        self, holder: str, now: datetime, *, hold: timedelta, limit: int, without: Collection[TargetId] = ()
    ) -> Sequence[Errand]:
        """Hold due errands for `hold`, oldest first, skipping the targets in `without`."""
        ...

    async def hold_on(self, holder: str, until: datetime, errands: Collection[ErrandId]) -> None:
        """Hold `errands` until then if `holder` still holds them; what was taken from it stays taken."""
        ...

    async def postpone(self, errand: ErrandId, holder: str, run_at: datetime, error: str) -> bool:
        """Give an errand back, to run later; false if `holder` no longer holds it."""
        ...

    async def next_errand_at(self, *, without: Collection[TargetId] = ()) -> datetime | None:
        """When the earliest errand that nobody holds is due, skipping the targets in `without`."""
        ...

    # -- after a restore ---------------------------------------------------------------
    async def reconciling(self) -> frozenset[TargetId]:
        """The targets in which nothing is destroyed until an operator has looked.

        Their errands are not claimed, and are not counted by `next_errand_at`.
        """
        ...

    async def reconciled(self, target: TargetId) -> None:
        """Let destroying go on in `target`; harmless for one that does not wait.

        Raises:
            Unavailable: code `fenced`.
        """
        ...

    async def restored(self, *, limit: int) -> Sequence[SessionId]:
        """The sessions that were on record at a restore and have not left since, by id.

        None of them gets a token until an operator has looked: its end may have been lost.
        """
        ...

    async def is_restored(self, session: SessionId) -> bool:
        """Whether the session waits since a restore."""
        ...

    async def sessions_reconciled(self) -> None:
        """Let every session go on.

        Raises:
            Unavailable: code `fenced`.
        """
        ...

    # -- feed and journal --------------------------------------------------------------
    async def feed(self, after: Mark | None, *, limit: int) -> FeedPage:
        """Every revocation after the mark; a snapshot when the mark is of another epoch or too old."""
        ...

    async def journal(self, first: int, *, limit: int) -> Sequence[JournalEntry]: ...

    async def session_journal(self, session: SessionId) -> Sequence[JournalEntry]:
        """The leaves of one session, in the order of their numbers."""
        ...

    async def tiles(self, keys: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Stored tile hashes by (level, index): up to 256 concatenated 32-byte hashes each."""
        ...

    async def seal(self, size: int, tiles: dict[tuple[int, int], bytes], checkpoint: str) -> None:
        """Record tiles and the signed checkpoint of `size` in one commit; sizes never go back.

        Raises:
            Conflict: code `stale`; a checkpoint of this size or a later one exists.
        """
        ...

    async def checkpoint(self) -> tuple[int, str] | None:
        """The newest signed checkpoint and its size."""
        ...

    async def close(self) -> None: ...
