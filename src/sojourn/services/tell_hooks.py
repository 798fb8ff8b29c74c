"""Tell hooks of facts: each reads the journal from where it stands, in order, at its own pace.

The fact is durable before it is told, and nothing that changes a session waits for anybody here.
An event that was sent and not written down as told, because we crashed, is sent again under the
same id. One that is refused waits for its retry, and its hook with it, until it is too old.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.errors import SojournError, Unavailable
from sojourn.core.hook import GIVE_UP_AFTER, Hook, HookPlace, retry_after
from sojourn.core.ids import ApprovalId, ClientId, HookId, KillId, SessionId
from sojourn.core.notice import (
    MEDIA_TYPE,
    about_approval,
    about_kill,
    about_lease,
    about_session,
    event_of,
)
from sojourn.core.record import FactKind
from sojourn.core.signed_message import headers_of
from sojourn.ledger.leaf import LeafRecord, read_leaf
from sojourn.ports.clock import Clock
from sojourn.ports.keys import Sealer
from sojourn.ports.sender import Sender
from sojourn.ports.store import Store
from sojourn.services._hooks import secret_of

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
"""How late a fact is told, if its hook has come as far."""

FIND_EVERY_S: Final = 5.0
"""How late a hook that was added or removed is noticed."""

TURN: Final = timedelta(seconds=10)
"""How long one turn begins new events; with the last one, which takes 5 s, it ends within its hold."""

HOLD: Final = timedelta(seconds=20)
"""After so long another node takes over from one that died."""

PAGE: Final = 256  # facts read at once
_NEVER_TAKEN: Final = frozenset({400, 410, 413, 415, 422})
_LONGEST_ERROR: Final = 200


@dataclass(frozen=True, slots=True)
class _Told:
    """How telling one fact went; `error` is empty if it was taken."""

    error: str = ""
    again: bool = False


class TellHooks:
    """One task for each hook, so that a slow one keeps no other waiting."""

    def __init__(
        self, store: Store, clock: Clock, send: Sender, *, sealer: Sealer, issuer: str, holder: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._send = send
        self._sealer = sealer
        self._issuer = issuer.rstrip("/")
        self._holder = holder
        self._reached: dict[HookId, int] = {}  # a hint: nothing is written while there is no news

    async def run(self) -> None:
        """Tell until cancelled."""
        telling: dict[HookId, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                wanted = {one.id: one for one in await self._store.hooks()}
                for gone in telling.keys() - wanted.keys():
                    telling.pop(gone).cancel()
                for one in wanted.values():
                    if one.id not in telling:
                        telling[one.id] = group.create_task(self._for_ever(one))
                await self._clock.sleep(FIND_EVERY_S)

    async def _for_ever(self, hook: Hook) -> None:
        while True:
            try:
                while await self.turn(hook):
                    pass
            except SojournError as error:
                log.warning("hook `%s`: %s", hook.name, error.code)
            await self._clock.sleep(LOOK_EVERY_S)

    async def turn(self, hook: Hook) -> bool:
        """Go on with one hook for a while; whether there may be more at once.

        Raises:
            NotFound: code `unknown_hook`; it was removed.
            Unavailable: the store cannot answer.
        """
        if self._reached.get(hook.id) == (await self._store.head()).journal_size:
            return False
        now = self._clock.now()
        place = await self._store.hold_hook(hook, self._holder, now, now + HOLD)
        if place is None:
            return False
        reached = await self._go_on(hook, place, now + TURN)
        if await self._store.move_hook(hook.id, self._holder, reached):
            self._reached[hook.id] = reached.next
        return reached.run_at is None and reached.next > place.next

    async def _go_on(self, hook: Hook, place: HookPlace, until: datetime) -> HookPlace:
        for entry in await self._store.journal(place.next, limit=PAGE):
            record = read_leaf(entry.leaf)
            if record.kind not in hook.events:
                place = replace(place, next=entry.index + 1)
                continue
            if self._clock.now() >= until:
                return place
            place = self._after(hook, place, await self._tell(hook, record))
            if place.run_at is not None:
                self._reached.pop(hook.id, None)
                return place
        return place

    def _after(self, hook: Hook, place: HookPlace, told: _Told) -> HookPlace:
        if not told.error:
            return HookPlace(place.next + 1, given_up=place.given_up, error="")
        if told.again:
            attempts = place.attempts + 1
            due = self._clock.now() + retry_after(attempts)
            return replace(place, attempts=attempts, run_at=due, error=told.error)
        log.warning("hook `%s` was never told of fact %d: %s", hook.name, place.next, told.error)
        return HookPlace(place.next + 1, given_up=place.given_up + 1, error=told.error)

    async def _tell(self, hook: Hook, record: LeafRecord) -> _Told:
        secret = await secret_of(self._store, self._sealer, hook)  # gone with the hook: nothing more is told
        data, until = await self._about(hook, record)
        if self._clock.now() >= until:
            return _Told("too old to be told")
        event = event_of(record, data, self._issuer)
        body = json.dumps(event, separators=(",", ":")).encode()
        signed = headers_of(str(event["id"]), body, secret, self._clock.now())
        try:
            status = await self._send(hook.url, {**signed, "Content-Type": MEDIA_TYPE}, body)
        except Unavailable as error:
            return _Told(error.message[:_LONGEST_ERROR], again=True)
        if 200 <= status < 300:
            return _Told()
        return _Told(f"it answered {status}", again=status not in _NEVER_TAKEN)

    async def _about(self, hook: Hook, record: LeafRecord) -> tuple[dict[str, object], datetime]:
        """What is told of a fact, and until when it is worth telling."""
        until, row = record.at + GIVE_UP_AFTER, str(record.body.get("id", ""))
        match record.kind.partition(".")[0]:
            case "approval":
                return await self._about_approval(hook, record, until)
            case "kill":
                kill = await self._store.kill(KillId(row))
                return (about_kill(kill) if kill else {"kill": row}), until
            case "lease":
                return about_lease(record), until
            case "key":
                return {"key": row}, until
            case _:
                session = await self._store.session(SessionId(record.session or ""))
                return (about_session(session, record) if session else {}), until

    async def _about_approval(
        self, hook: Hook, record: LeafRecord, until: datetime
    ) -> tuple[dict[str, object], datetime]:
        approval = await self._store.approval(ApprovalId(str(record.body.get("id"))))
        if approval is None:
            return {}, until
        client = await self._store.client(ClientId(approval.requester))
        requester = client.name if client else approval.requester
        answer_at = f"{self._issuer}/answers/{hook.name}" if hook.answers else None
        data = about_approval(approval, requester, answer_at, self._clock.now())
        asks = record.kind == FactKind.APPROVAL_REQUESTED
        return data, min(until, approval.answer_by) if asks else until
