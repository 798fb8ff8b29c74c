"""A session's request to an API whose key stays with us: let through, watched, and cut at the end.

Whether it may pass is read from the store at the beginning and again whenever something was
revoked, at the latest each second: an end anywhere stops the answer here. A request is one call
of the session's budget, reserved before it is sent and reported when its answer is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from sojourn.core.errors import NotFound, Refused, SojournError, Unavailable
from sojourn.core.ids import SessionId
from sojourn.core.lease import Lease, LeaseState
from sojourn.core.session import Session, is_live
from sojourn.core.usage import FAILED_FROM
from sojourn.ports.clock import Clock
from sojourn.ports.feed import Bell
from sojourn.ports.provider import Forwards, Incoming, Outgoing, Providers
from sojourn.ports.store import Store
from sojourn.services.weigh_usage import ForwardedCall, WeighUsage

log: Final = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 1.0


class ForwardRequest:
    """Sends requests on with a key their session never sees."""

    def __init__(
        self, store: Store, clock: Clock, bell: Bell, providers: Providers, *, usage: WeighUsage
    ) -> None:
        self._store = store
        self._clock = clock
        self._bell = bell
        self._providers = providers
        self._usage = usage

    @asynccontextmanager
    async def __call__(self, session_id: SessionId, grant: str, request: Outgoing) -> AsyncIterator[Incoming]:
        """The API's answer; it ends with the session, wherever that is ended.

        Raises:
            Refused: codes `session_ended`, `session_waits`, `budget_spent`, `not_allowed_there`,
                `ambiguous_path`.
            NotFound: code `unknown_grant`; the session holds no such grant, or it is of another kind.
            TargetError: the API did not answer.
        """
        session, lease = await self._permitted(session_id, grant)
        provider, template = await self._provider(lease)
        async with self._counted(session, f"{grant} {request.method}") as call:
            async with provider.forward(lease.handle, template, request) as incoming:
                call.failed = incoming.status >= FAILED_FROM
                yield replace(incoming, pieces=self._watched(incoming.pieces, session_id, grant))

    @asynccontextmanager
    async def _counted(self, session: Session, action: str) -> AsyncIterator[ForwardedCall]:
        """One call of the budget; given back if the request was refused before it left."""
        call = await self._usage.begin_call(session, action)
        try:
            yield call
        except Refused:
            call.left = False
            raise
        finally:
            try:
                await self._usage.end_call(call)
            except SojournError as error:  # what was reserved stays spent
                log.warning("a forwarded call of `%s` was not reported: %s", session.id, error.code)

    async def _provider(self, lease: Lease) -> tuple[Forwards, Mapping[str, object]]:
        target = await self._store.target(lease.target)
        if target is not None and lease.template in target.templates:
            provider: object = await self._providers.of(target)
            if isinstance(provider, Forwards):
                return provider, target.templates[lease.template]
        raise NotFound("unknown_grant", f"grant `{lease.grant[:64]}` is not of a kind that is forwarded")

    async def _permitted(self, session_id: SessionId, grant: str) -> tuple[Session, Lease]:
        session = await self._store.session(session_id)
        if session is None or not is_live(session, self._clock.now()):
            raise Refused("session_ended", "the session is not active")
        if await self._store.is_restored(session_id):
            raise Refused("session_waits", "since a restore an operator is to look at this session first")
        for lease in await self._store.leases(session_id):
            if lease.grant == grant and lease.state is LeaseState.ISSUED:
                return session, lease
        raise NotFound("unknown_grant", f"the session holds no grant `{grant[:64]}`")

    async def _watched(
        self, pieces: AsyncIterator[bytes], session: SessionId, grant: str
    ) -> AsyncIterator[bytes]:
        """`pieces`, until it is known or must be feared that the session may not have them."""
        over = asyncio.ensure_future(self._over(session, grant))
        coming: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(pieces, None))
                await asyncio.wait((coming, over), return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    raise over.result()
                piece = coming.result()
                if piece is None:
                    return
                yield piece
        finally:
            over.cancel()
            if coming is not None and not coming.done():  # nobody may go on reading what is being closed
                coming.cancel()
                await asyncio.wait((coming,))

    async def _over(self, session: SessionId, grant: str) -> SojournError:
        """Why the session may not go on; returns when that is so."""
        try:
            while True:
                head = await self._store.head()
                await self._permitted(session, grant)
                await self._bell.wait_beyond(head.feed_n, LOOK_EVERY_S)
        except (Refused, NotFound, Unavailable) as error:
            return error
