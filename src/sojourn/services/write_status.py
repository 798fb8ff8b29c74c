"""Status lists, signed: for checkers that follow no feed (IETF Token Status List, draft 21).

A list is built from the sessions in it, never from memory, so every node says the same. It is
built anew when the journal has grown, at most a few times a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sojourn.core.errors import NotFound
from sojourn.core.status_list import BITS, status_of, write
from sojourn.core.token import status_address
from sojourn.core.window import to_micros
from sojourn.ports.clock import Clock
from sojourn.ports.keys import TokenSigner
from sojourn.ports.store import Store

TYPE: Final = "statuslist+jwt"
TTL: Final = timedelta(seconds=5)
"""How long a checker may rely on a list: the longest a revocation can stay unseen by it."""

LIFE: Final = timedelta(seconds=60)
_AT_LEAST_S: Final = 0.25  # between two buildings of one list
_MOST_KEPT: Final = 64  # lists in memory; a few KB each


@dataclass(frozen=True, slots=True)
class _Kept:
    jwt: str
    journal_size: int
    made_at: float


class WriteStatus:
    """Signs status lists."""

    def __init__(self, store: Store, clock: Clock, signer: TokenSigner, issuer: str) -> None:
        self._store = store
        self._clock = clock
        self._signer = signer
        self._issuer = issuer
        self._kept: dict[str, _Kept] = {}

    async def __call__(self, name: str) -> str:
        """The list of that name, as it is now or was a quarter of a second ago.

        Raises:
            NotFound: code `not_found`; no session was ever in it.
        """
        kept, mono = self._kept.get(name), self._clock.monotonic()
        if kept is not None and mono - kept.made_at < _AT_LEAST_S:
            return kept.jwt
        size = (await self._store.head()).journal_size  # before the sessions: what is newer is built anew
        if kept is not None and kept.journal_size == size and mono - kept.made_at < TTL.total_seconds():
            return kept.jwt
        states = await self._store.statuses(name)
        if states is None:
            raise NotFound("not_found", "there is no such status list")
        jwt = self._sign(name, write({index: status_of(state) for index, state in states.items()}))
        self._kept.pop(name, None)
        self._kept[name] = _Kept(jwt, size, mono)
        if len(self._kept) > _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        return jwt

    async def lists(self) -> tuple[str, ...]:
        """The addresses of every list in which a session has not ended."""
        return tuple(status_address(self._issuer, name) for name in await self._store.status_lists())

    def _sign(self, name: str, lst: str) -> str:
        issued = to_micros(self._clock.now()) // 1_000_000
        claims = {
            "iss": self._issuer,
            "sub": status_address(self._issuer, name),
            "iat": issued,
            "exp": issued + int(LIFE.total_seconds()),
            "ttl": int(TTL.total_seconds()),
            "status_list": {"bits": BITS, "lst": lst},
        }
        return self._signer.sign({"typ": TYPE}, claims)
