"""A person answers a request from a chat: a signed message in, the word of somebody we know out.

(1) The message is signed with the hook's secret, and fresh. (2) The person it names has linked
that name with a key of their own. (3) The policies let them answer. (4) The answer is bound to the
hash of what was shown, and judged like one given by that key: who asks or profits is refused.
(5) The message counts once: its id is remembered in the same commit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sojourn.core.approval import Approval
from sojourn.core.change import Once, pin
from sojourn.core.client import Client
from sojourn.core.errors import Refused
from sojourn.core.hook import Hook, Said
from sojourn.core.ids import ApprovalId, ClientId
from sojourn.core.record import RowKind
from sojourn.core.signed_message import TOLERANCE, require_signed
from sojourn.ports.clock import Clock
from sojourn.ports.keys import Sealer
from sojourn.ports.store import Store
from sojourn.ports.trigger import Delivery
from sojourn.services._hooks import hook_called, secret_of, unknown
from sojourn.services._retry import decide_again
from sojourn.services.approve_session import ApproveSession, Channel

ANSWERED: Final = "hook_answer"
_TRIES: Final = 3

MayAnswer = Callable[[Client, ApprovalId], Awaitable[None]]
"""Refuses an operator whom a policy forbids to answer requests."""


class AnswerByHook:
    """Takes answers that chat tools bring."""

    def __init__(self, store: Store, clock: Clock, approve: ApproveSession, sealer: Sealer) -> None:
        self._store = store
        self._clock = clock
        self._approve = approve
        self._sealer = sealer

    async def __call__(self, name: str, delivery: Delivery, said: Said, may: MayAnswer) -> Approval:
        """The request with this answer to it. `said` must have been read from the delivery's body.

        Raises:
            NotFound: codes `unknown_hook` (also for one that only tells), `unknown_task`.
            Unauthenticated: code `bad_signature`.
            Refused: codes `unlinked_person`, `replayed`, and those of `ApproveSession`.
            Conflict: as `ApproveSession`.
        """

        async def attempt() -> Approval:
            return await self._attempt(name, delivery, said, may)

        # Somebody may have been linked or unlinked meanwhile: look again who speaks.
        return await decide_again(attempt, self._clock, tries=_TRIES)

    async def _attempt(self, name: str, delivery: Delivery, said: Said, may: MayAnswer) -> Approval:
        hook = await hook_called(self._store, name)
        if not hook.answers:
            raise unknown()
        secret = await secret_of(self._store, self._sealer, hook)
        now = self._clock.now()
        message = require_signed(delivery.headers, delivery.body, secret, now)  # (1)
        person = await self._person(hook, said.person)  # (2)
        await may(person, said.approval)  # (3)
        once = Once(ANSWERED, f"{hook.id} {message}", now + 2 * TOLERANCE)
        # Pinned: what a hook says counts for nobody who is unlinked meanwhile, nor after its removal.
        channel = Channel(f"hook:{hook.name}", (once,), (pin(RowKind.HOOK, hook),))
        return await self._approve(
            said.approval,
            person,
            yes=said.yes,
            shown_hash=said.shown_hash,
            detail=said.detail,
            channel=channel,
        )

    async def _person(self, hook: Hook, named: str) -> Client:
        linked = hook.people.get(named)
        client = await self._store.client(ClientId(linked)) if linked else None
        if client is None or client.removed_at is not None:
            raise Refused("unlinked_person", f"nobody known here has linked `{named[:80]}`")
        return client
