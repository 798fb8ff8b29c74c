"""What our own access tokens are worth at this moment: signature, lifetime, and the session behind.

Judged as a guard judges them, by the feed, but here every entry that was answered before the
question is known: each question reads the feed first, and questions that wait share one reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from sojourn.core.errors import Unauthenticated
from sojourn.core.revocation import Entry, Kind, Mark, Page, RevocationView, Standing
from sojourn.core.token import AccessClaims
from sojourn.jose import VerifyKey, verify_access_token, verify_client_token
from sojourn.ports.clock import Clock
from sojourn.ports.keys import TokenSigner
from sojourn.ports.store import FeedPage, Store
from sojourn.ports.store import Mark as StoreMark

T = TypeVar("T")

MOST_TOKENS: Final = 4096  # whose signature is remembered; about 3 KB each
_PAGE: Final = 10_000  # entries in one reading
_TOLERANCE: Final = timedelta(seconds=5)


class OwnTokens:
    """Reads tokens that we signed."""

    def __init__(self, store: Store, clock: Clock, signer: TokenSigner, issuer: str) -> None:
        self._store = store
        self._clock = clock
        self._signer = signer
        self._issuer = issuer
        self._view = RevocationView()
        self._known: dict[str, AccessClaims] = {}
        self._of_clients: dict[str, Mapping[str, object]] = {}
        self._public: Sequence[Mapping[str, str]] = ()
        self._keys: Mapping[str, VerifyKey] = {}
        self._hearing: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    def verified(self, compact: str) -> AccessClaims:
        """The claims of a token that we signed and that has not expired; the session may be over.

        Raises:
            Unauthenticated: code `bad_token`, `unknown_kid` or `expired`.
        """
        claims = self._signed(compact)
        now = self._clock.now()
        if claims.issuer != self._issuer or claims.issued_at > now + _TOLERANCE:
            raise Unauthenticated("bad_token", "the token was not made by us")
        if now >= claims.expires_at:
            raise Unauthenticated("expired", "the token has expired")
        return claims

    def clients(self, compact: str) -> Mapping[str, object]:
        """The claims of a client's token for our own API, of which only the signature was judged.

        Raises:
            Unauthenticated: code `bad_token`.
        """
        self._refresh()
        known = self._of_clients.pop(compact, None) or verify_client_token(compact, self._keys)
        _remember(self._of_clients, compact, known)
        return known

    def is_clients(self, compact: str) -> bool:
        """Whether it is a client's token for our own API, which names no session."""
        try:
            return "sid" not in self.clients(compact)
        except Unauthenticated:
            return False

    async def living(self, compact: str) -> AccessClaims:
        """The claims of a token that is honoured at this moment.

        Raises:
            Unauthenticated: also code `session_over` or `old_epoch`.
            Unavailable: the store could not answer.
        """
        claims = self.verified(compact)
        await self._hear()
        match self._view.standing(claims):
            case Standing.LIVE:
                return claims
            case Standing.OLD_EPOCH | Standing.AHEAD:
                raise Unauthenticated("old_epoch", "the token is older than a restore")
            case _:
                raise Unauthenticated("session_over", "the session is over, or was narrowed or frozen since")

    def _signed(self, compact: str) -> AccessClaims:
        self._refresh()
        known = self._known.pop(compact, None) or verify_access_token(compact, self._keys)
        _remember(self._known, compact, known)
        return known

    def _refresh(self) -> None:
        public = self._signer.public_keys()
        if public is self._public:
            return
        self._public, self._keys = public, {key["kid"]: VerifyKey.from_jwk(key) for key in public}
        self._known, self._of_clients = {}, {}

    async def _hear(self) -> None:
        """Return when the feed was read by a reading that began after this call."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._read_after(self._hearing))
        await asyncio.shield(self._next)

    async def _read_after(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait((earlier,))
        self._hearing, self._next = self._next, None  # whoever asks from here on waits for another
        while not await self._read():
            continue

    async def _read(self) -> bool:
        sent_at, mark = self._clock.monotonic(), self._view.mark
        after = None if mark is None else StoreMark(mark.epoch, mark.n)
        page = await self._store.feed(after, limit=_PAGE)
        self._view.apply(_page(page, self._clock), sent_at=sent_at, received_at=self._clock.monotonic())
        return page.snapshot or len(page.entries) < _PAGE


def _page(page: FeedPage, clock: Clock) -> Page:
    entries = tuple(Entry(e.n, Kind(e.kind), e.id, e.min_generation) for e in page.entries)
    return Page(Mark(page.mark.epoch, page.mark.n), clock.now(), page.snapshot, entries)


def _remember(known: dict[str, T], compact: str, claims: T) -> None:
    known[compact] = claims  # the last used is the last to go
    if len(known) > MOST_TOKENS:
        known.pop(next(iter(known)))
