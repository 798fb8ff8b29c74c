"""What is asked for more often than it changes, as last read: exact, for the one process that writes them.

Where no other process writes (SQLite), what was read stays true until a Change of ours writes a
row of that kind. While such a write is under way its caller has no answer yet, so either reading
is right; a write of which nobody can say whether it landed ends the remembering for good.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, cast

from sojourn.adapters.sql_database import Rejected
from sojourn.core.change import Change
from sojourn.core.record import RowKind
from sojourn.ports.store import Head

T = TypeVar("T")

MOST: Final = 1024  # readings of one kind; a client or a charter is about 2 KB
FEED: Final = "feed"
HEAD: Final = "head"
KINDS: Final = frozenset({FEED, HEAD, RowKind.CLIENT, RowKind.CHARTER, RowKind.POLICY, RowKind.KILL})
_NOTHING: Final = object()


class Remembered:
    """What was read of each kind since the last write to it."""

    def __init__(self, *, exact: bool, most: int = MOST) -> None:
        self._exact = exact
        self._most = most
        self._kept: dict[str, dict[Hashable, object]] = {kind: {} for kind in KINDS}

    async def recall(
        self,
        kind: str,
        key: Hashable,
        read: Callable[[], Awaitable[T]],
        *,
        worth: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """What `read` answered before, or answers now; `key` tells readings of `kind` apart.

        An answer that is not `worth` it is not kept: one that is large, and asked for once.
        """
        if not self._exact:
            return await read()
        kept = self._kept[kind]
        found = kept.get(key, _NOTHING)
        if found is not _NOTHING:
            return cast("T", found)
        answer = await read()
        if worth(answer):
            kept[key] = answer  # a write meanwhile has put another dict in its place: this one is lost
        if len(kept) > self._most:
            del kept[next(iter(kept))]
        return answer

    @contextmanager
    def landing(self, changes: Iterable[Change]) -> Iterator[None]:
        """While `changes` are written: what they may have altered is read anew afterwards."""
        try:
            yield
        except Rejected:  # rolled back
            raise
        except BaseException:
            self.distrust()
            raise
        finally:
            self.forget(changes)

    def forget(self, changes: Iterable[Change]) -> None:
        """These have landed, or may have: what they write is read anew."""
        written: set[str] = set()
        for change in changes:
            written.update(step.facts[0].row for step in change.steps if step.facts)
            if change.revocations:
                written.add(FEED)
        if written:  # facts and revocations are numbered by it
            written.add(HEAD)
        if RowKind.CHARTER in written:
            written.add(RowKind.POLICY)  # how far the rules have come counts both
        for kind in written & KINDS:
            self._kept[kind] = {}

    def keep_head(self, outcomes: Iterable[object]) -> None:
        """The last head that a batch was answered with is as good as one that is read after it."""
        for head in outcomes:
            if isinstance(head, Head):
                self._kept[HEAD][""] = head

    def distrust(self) -> None:
        """Remember nothing from here on: a write may land at any moment, without a word."""
        self._exact = False
