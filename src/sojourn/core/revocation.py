"""What a guard knows of revocations, and when it knows too little to say yes.

One writer (the feed) applies pages, any number of readers ask. Time comes in as arguments:
`mono` is seconds on a clock that runs on through suspension, so a guard that slept is deaf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sojourn.core.errors import Invalid, Unavailable
from sojourn.core.token import AccessClaims

DRIFT: Final = 0.01  # rho: how much faster than true time a guard's clock may run
TOLERANCE: Final = timedelta(seconds=5)  # S
KEEP: Final = timedelta(seconds=600) + 2 * TOLERANCE  # no token lives longer than 600 s
_PURGE_EVERY_S: Final = 10.0


class Kind(StrEnum):
    """What an entry refuses: one session with its family, or all tokens with one claim."""

    SESSION = "session"
    CLIENT = "client"
    OWNER = "owner"
    CHARTER = "charter"
    KEY = "key"  # the one a session is bound to
    EVERYTHING = "everything"  # its id is `*`
    SIGNER = "signer"  # one that signs tokens, by its `kid`
    FAMILY = "family"  # a session with all its descendants, by the root


class Standing(StrEnum):
    """Where the session behind a verified token stands, as far as was heard."""

    LIVE = "live"
    OVER = "over"
    UNSIGNED = "unsigned"  # the key that signed the token is revoked
    OLD_EPOCH = "old_epoch"
    AHEAD = "ahead"  # the token is of an epoch not heard of: we are the ones who are behind


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered revocation; `min_gen` None is an end, a number spares that generation on."""

    n: int
    kind: Kind
    id: str
    min_gen: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the feed was heard."""

    epoch: int
    n: int


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the feed: everything after the mark asked with, or a snapshot of all."""

    mark: Mark
    server_time: datetime
    snapshot: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Limit:
    min_gen: int | None
    heard: float


class RevocationView:
    """The guard's copy of the feed; deaf until the first page, and whenever in doubt."""

    __slots__ = (
        "_heard_at",
        "_mark",
        "_purged",
        "_rolled_back",
        "_selectors",
        "_server",
        "_sessions",
        "_signers",
    )

    def __init__(self) -> None:
        self._mark: Mark | None = None
        self._heard_at: float | None = None
        self._server: tuple[datetime, float] | None = None  # its time, and ours on receipt
        self._sessions: dict[str, _Limit] = {}
        self._selectors: dict[tuple[Kind, str], tuple[int, float]] = {}
        self._signers: set[str] = set()  # never forgotten: a thief of the key can sign at any time
        self._rolled_back = False
        self._purged = 0.0

    @property
    def mark(self) -> Mark | None:
        """The high-water mark; it never falls."""
        return self._mark

    @property
    def heard_at(self) -> float | None:
        """When the last question that was answered had been sent: the lease runs from there."""
        return self._heard_at

    @property
    def rolled_back(self) -> bool:
        """Whether the last answer was older than an earlier one."""
        return self._rolled_back

    def __len__(self) -> int:
        return len(self._sessions) + len(self._selectors)

    def apply(self, page: Page, *, sent_at: float, received_at: float) -> None:
        """Take in one answer to the question sent at `sent_at`.

        Raises:
            Unavailable: code `rollback_detected`; the server forgot what it said. The view is
                deaf until an answer reaches its mark again.
            Invalid: code `bad_page`; a new epoch that does not begin with a snapshot.
        """
        self._refuse_rollback(page.mark)
        if not page.snapshot and (self._mark is None or page.mark.epoch != self._mark.epoch):
            raise Invalid("bad_page", "a page of another epoch than asked for must be a snapshot")
        if self._mark is not None and page.mark.epoch > self._mark.epoch:
            self._begin_epoch()
        # Readers may run in other threads: entries first, then the claim to have heard them.
        for entry in page.entries:
            self._learn(entry, received_at)
        self._purge(received_at)
        self._mark = page.mark
        self._server = (page.server_time, received_at)
        self._heard_at = sent_at if self._heard_at is None else max(sent_at, self._heard_at)
        self._rolled_back = False

    def standing(self, claims: AccessClaims) -> Standing:
        """Judge the session behind a verified token; no entry means live."""
        mark = self._mark
        if self._signers and claims.signer in self._signers:
            return Standing.UNSIGNED
        if mark is None or claims.epoch > mark.epoch:
            return Standing.AHEAD
        if claims.epoch < mark.epoch:
            return Standing.OLD_EPOCH
        if (self._sessions and self._family_over(claims)) or (self._selectors and self._selected(claims)):
            return Standing.OVER
        return Standing.LIVE

    def deaf(self, mono: float, deaf_after: timedelta) -> bool:
        """Whether too much time passed since something was heard, or what was heard is in doubt."""
        return self._rolled_back or mono >= self.lease_end(deaf_after)

    def lease_end(self, deaf_after: timedelta) -> float:
        """Until when, on the guard's own clock, the last answer may be relied on."""
        if self._heard_at is None:
            return float("-inf")
        return self._heard_at + deaf_after.total_seconds() * (1 - DRIFT)

    def skew(self, now: datetime, mono: float) -> timedelta:
        """How far the local wall clock is from the server's, as last heard and run on since."""
        if self._server is None:
            return timedelta(0)
        server_time, received = self._server
        return now - server_time - timedelta(seconds=mono - received)

    def _refuse_rollback(self, mark: Mark) -> None:
        mine = self._mark
        if mine is None or (mark.epoch, mark.n) >= (mine.epoch, mine.n):
            return
        self._rolled_back = True
        raise Unavailable("rollback_detected", f"heard {mark.epoch}/{mark.n} after {mine.epoch}/{mine.n}")

    def _begin_epoch(self) -> None:
        # Every token of the old epoch is refused by its epoch. Ends are kept all the same: a
        # session once seen ended is never served again. Numbers of the old epoch mean nothing now.
        self._selectors = {}
        self._sessions = {sid: limit for sid, limit in self._sessions.items() if limit.min_gen is None}

    def _learn(self, entry: Entry, heard: float) -> None:
        if entry.kind is Kind.SIGNER:
            self._signers.add(entry.id)
            return
        if entry.kind is not Kind.SESSION:
            before = self._selectors.get((entry.kind, entry.id), (0, 0.0))[0]
            self._selectors[entry.kind, entry.id] = (max(entry.n, before), heard)
            return
        known = self._sessions.get(entry.id)
        lowest = entry.min_gen
        if known is not None and lowest is not None:
            lowest = None if known.min_gen is None else max(lowest, known.min_gen)
        self._sessions[entry.id] = _Limit(lowest, heard)

    def _family_over(self, claims: AccessClaims) -> bool:
        own = self._sessions.get(claims.sid)
        if own is not None and (own.min_gen is None or claims.generation < own.min_gen):
            return True
        for ancestor in claims.ancestors:
            limit = self._sessions.get(ancestor)
            if limit is not None and limit.min_gen is None:
                return True
        return False

    def _selected(self, claims: AccessClaims) -> bool:
        return any(
            claims.mark < self._selectors.get(selector, (0, 0.0))[0]
            for selector in _selectors_of(claims).items()
        )

    def _purge(self, mono: float) -> None:
        """Forget what no living token can match any more."""
        if mono - self._purged < _PURGE_EVERY_S:
            return
        oldest = mono - KEEP.total_seconds()
        self._sessions = {sid: limit for sid, limit in self._sessions.items() if limit.heard > oldest}
        self._selectors = {key: seen for key, seen in self._selectors.items() if seen[1] > oldest}
        self._purged = mono


def _selectors_of(claims: AccessClaims) -> Mapping[Kind, str]:
    return {
        Kind.CLIENT: claims.subject,
        Kind.OWNER: claims.owner,
        Kind.CHARTER: claims.charter,
        Kind.KEY: claims.key,
        Kind.FAMILY: claims.family,
        Kind.EVERYTHING: "*",
    }
