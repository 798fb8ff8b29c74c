"""Proofs that were seen: each counts once, at whichever node and across restarts.

By a mark in the store, in a commit of its own or in that of what the proof asks for; in memory
too, so that what this process has seen is refused without asking the store.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime

from sojourn.core.change import Change, Once
from sojourn.core.errors import Refused, Unauthenticated, Unavailable
from sojourn.core.proof import KEEP_JTI, Proof
from sojourn.faces.http.limits import PROOFS_REMEMBERED
from sojourn.ports.store import Store

KIND = "dpop"


def mark_of(proof: Proof, now: datetime) -> Once:
    """The single-use mark of a proof: its `jti` under the key that signed it."""
    named = f"{proof.key}:{proof.jti}".encode("utf-8", "surrogatepass")
    return Once(KIND, hashlib.sha256(named).hexdigest(), now + KEEP_JTI)


class Replays:
    """What this process has seen within the life of a proof."""

    def __init__(self, store: Store, *, most: int = PROOFS_REMEMBERED) -> None:
        self._store = store
        self._most = most
        self._seen: OrderedDict[str, datetime] = OrderedDict()

    def note(self, mark: Once, now: datetime) -> None:
        """Remember a proof in this process; the mark is in the commit that follows.

        Raises:
            Unauthenticated: code `replayed_proof`; it was seen before.
            Unavailable: code `too_many_proofs`; forgetting one would let it be used again.
        """
        self._forget(now)
        if mark.key in self._seen:
            raise Unauthenticated("replayed_proof", "this DPoP proof was used before")
        if len(self._seen) >= self._most:
            raise Unavailable("too_many_proofs", "more proofs arrived than can be remembered")
        self._seen[mark.key] = mark.expires_at

    async def spend(self, mark: Once) -> None:
        """Remember a proof for good, before anything is shown or changed because of it.

        Raises:
            Unauthenticated: code `replayed_proof`.
            Unavailable: code `too_many_proofs`, or the store cannot answer.
        """
        self.note(mark, mark.expires_at - KEEP_JTI)
        try:
            await self._store.commit(Change(once=(mark,)))
        except Refused as error:
            raise Unauthenticated("replayed_proof", "this DPoP proof was used before") from error

    def _forget(self, now: datetime) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest] > now:
                return
            del self._seen[oldest]
