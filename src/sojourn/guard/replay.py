"""Which proofs were seen: two sets that take turns, so forgetting costs nothing.

Memory is bounded. When it is full we refuse: forgetting early would let a proof in twice.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

from sojourn.core.errors import Unauthenticated, Unavailable
from sojourn.core.proof import KEEP_JTI

MOST: Final = 250_000  # a set; about 3,000 proofs a second for 80 s, 50 MB at worst


class SeenProofs:
    """Remembers each proof for at least `KEEP_JTI`."""

    __slots__ = ("_current", "_earlier", "_lock", "_most", "_turned")

    def __init__(self, *, most: int = MOST) -> None:
        self._current: set[tuple[str, str]] = set()
        self._earlier: set[tuple[str, str]] = set()
        self._turned = float("-inf")
        self._most = most
        self._lock = Lock()

    def spend(self, key: str, jti: str, mono: float) -> None:
        """Take a proof that was judged good; the second time is a replay.

        Raises:
            Unauthenticated: code `replayed_proof`.
            Unavailable: code `overloaded`; too many proofs to remember one more.
        """
        with self._lock:
            self._turn(mono)
            if (key, jti) in self._current or (key, jti) in self._earlier:
                raise Unauthenticated(
                    "replayed_proof", "this proof was used before; sign a new one for each request"
                )
            if len(self._current) >= self._most:
                raise Unavailable("overloaded", "too many requests to tell new proofs from old ones")
            self._current.add((key, jti))

    def _turn(self, mono: float) -> None:
        keep = KEEP_JTI.total_seconds()
        if mono - self._turned < keep:
            return
        self._earlier = self._current if mono - self._turned < 2 * keep else set()
        self._current = set()
        self._turned = mono
