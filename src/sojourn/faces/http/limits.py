"""Every bound of the HTTP face, each with its reason, and a counter of waiting places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from sojourn.core.errors import Unavailable

BODY_BYTES: Final = 64 * 1024  # the largest honest body, a target with many templates, is under 20 KiB
EGRESS_BYTES: Final = 1024 * 1024  # what a session sends to another API is held whole while it is judged
JSON_DEPTH: Final = 16  # the deepest honest document has 6 levels
JSON_MEMBERS: Final = 256  # of one object: each unknown one costs an error message
JSON_WHOLE: Final = 2**53  # beyond it JSON numbers are not exact everywhere (RFC 8259, section 6)
HEADER_TEXT: Final = 8 * 1024  # the longest token or proof that is looked at
QUERY_BYTES: Final = 2 * 1024
FORM_FIELDS: Final = 20
FEED_WAITERS: Final = 4096  # each costs a task of a few KiB; more guards need more nodes
WATCHERS: Final = 512  # each asks the store a few times a second
WATCH_AT_MOST_S: Final = 30
FEED_PAGE: Final = 10_000  # entries in one answer, about 1 MB
PAGE_AT_MOST: Final = 200
PAGE_USUAL: Final = 50
PROOFS_REMEMBERED: Final = 500_000  # about 80 MB at worst; at the bound callers wait, nobody slips in
CALLERS_PACED: Final = 10_000  # about 2 MB; beyond it the quietest are forgotten
ENDING: Final = ("/kill", "/complete", "/suspend")  # what takes access away is never told to wait
CLIENT_TOKEN_LIFE: Final = timedelta(seconds=300)


class Places:
    """A number of places to wait in; who finds none is told to come back."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one place.

        Raises:
            Unavailable: code `too_many_waiters`.
        """
        if self.taken >= self._most:
            raise Unavailable("too_many_waiters", f"all {self._most} places to wait are taken")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Pace:
    """How often each caller may call: so many a second, and as many again at once.

    A caller has one number, the instant at which its calls so far would have been spread out
    evenly; it is let through while that lies less than the burst ahead.
    """

    def __init__(self, per_second: int, *, most: int = CALLERS_PACED) -> None:
        self._step_s = 1 / per_second
        self._burst_s = 1.0
        self._most = most
        self._even: dict[str, float] = {}  # the last to call is the last

    def take(self, caller: str, now: float) -> None:
        """Count a call at `now`, in seconds of a clock that never goes back.

        Raises:
            Unavailable: code `too_many_calls`.
        """
        even = max(self._even.pop(caller, now), now)
        early = even - now > self._burst_s
        self._even[caller] = even if early else even + self._step_s
        if len(self._even) > self._most:
            del self._even[next(iter(self._even))]
        if early:
            raise Unavailable(
                "too_many_calls", f"at most {1 / self._step_s:.0f} calls a second; wait a second"
            )
