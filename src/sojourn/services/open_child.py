"""A session opens a child: a sub-agent's own session, within the parent's, under a key of its own.

The child and its parent are written in one commit. The parent's version rises, so an end that
was decided without the child lands no more: either the parent has ended and there is no child,
or the child is there and ends with it.
"""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol
from weakref import WeakValueDictionary

from sojourn.config import Settings
from sojourn.core.change import Change, Once
from sojourn.core.charter import Charter
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused
from sojourn.core.family import ChildWish, Portion, child_opened, living_children, portion
from sojourn.core.ids import SESSION, SessionId, from_uuid
from sojourn.core.record import Step
from sojourn.core.session import Session, State, Task, approve, request
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._beginning import Fits, begin
from sojourn.services._retry import decide_again
from sojourn.services._status_places import StatusPlaces

CHILD_MARK: Final = "child"


@dataclass(frozen=True, slots=True)
class ChildRequest:
    """What a parent asks for; `key` is the thumbprint the child has proved to hold."""

    key: str
    ref: str | None = None  # None: the parent's
    wish: ChildWish = ChildWish()  # noqa: RUF009 - frozen
    context: Mapping[str, str] = field(default_factory=dict)
    once: tuple[Once, ...] = ()
    idempotency: str | None = None
    request_hash: str = ""
    fits: Fits | None = None


class Asked(Protocol):
    """A `ChildRequest`, or anything of that shape."""

    @property
    def key(self) -> str: ...
    @property
    def ref(self) -> str | None: ...
    @property
    def wish(self) -> ChildWish: ...
    @property
    def context(self) -> Mapping[str, str]: ...
    @property
    def once(self) -> tuple[Once, ...]: ...
    @property
    def idempotency(self) -> str | None: ...
    @property
    def request_hash(self) -> str: ...
    @property
    def fits(self) -> Fits | None: ...


@dataclass(frozen=True, slots=True)
class ChildOpening:
    """A child: approved, or active if nothing is to be made for it.

    `repeated`: the same call was made before, and its secrets are spent.
    """

    session: Session
    repeated: bool


MayDelegate = Callable[[Session, frozenset[str], datetime], Awaitable[object]]
"""Refuses a child with these grants where a policy forbids its parent to delegate; permits nothing."""


class OpenChild:
    """Says yes or no to a session that wants a child."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        settings: Settings,
        *,
        may: MayDelegate | None = None,
        places: StatusPlaces | None = None,
    ) -> None:
        self._may = may
        self._places = places
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        # Each child writes its parent's row: in one process they queue here instead of losing races.
        self._turns: WeakValueDictionary[SessionId, Lock] = WeakValueDictionary()

    async def __call__(self, parent: SessionId, key: str, asked: Asked) -> ChildOpening:
        """An approved child of `parent`, at the word of the holder of the parent's `key`.

        Raises:
            NotFound: code `unknown_session`; also for another key, which reads alike.
            Refused: codes `session_ended`, `too_deep`, `too_many_children`, `policy_refused`,
                `policy_error`, `replayed`.
            Conflict: code `wrong_state`, or `stale` after many lost races.
            Invalid: codes `own_key`, `unknown_grant`, `unknown_action`, `too_long`, `idempotency_mismatch`.
        """
        if asked.key == key:
            raise Invalid("own_key", "a child needs a key of its own, not its parent's")
        turn = self._turns.setdefault(parent, Lock())
        try:
            async with turn:
                return await decide_again(lambda: self._attempt(parent, key, asked), self._clock)
        except Refused as refusal:
            # A concurrent call with the same idempotency key may have been first.
            earlier = await self._repeated(parent, asked) if refusal.code == "replayed" else None
            if earlier is None:
                raise
            return earlier

    async def _attempt(self, parent_id: SessionId, key: str, asked: Asked) -> ChildOpening:
        family = await self._store.family(parent_id)
        if not family or family[0].key != key:
            raise NotFound("unknown_session", f"there is no session `{parent_id}`")
        parent, now = family[0], self._clock.now()
        if earlier := await self._repeated(parent_id, asked):
            return earlier
        if await self._store.is_restored(parent_id):
            raise Conflict("wrong_state", "the session waits, since a restore, for an operator")
        rule = (await self._charter(parent)).children
        given = portion(parent, rule, asked.wish, living=living_children(parent, family), now=now)
        if self._may is not None:
            await self._may(parent, given.grants.names(), now)
        child = self._describe(parent, asked, given, now)
        if asked.fits is not None:
            asked.fits(child)
        step = request(child)
        step = step.then(approve(step.row, f"parent:{parent_id}", now))
        step, beats = await begin(step, self._clock, self._places)
        marks = (*asked.once, *self._remember(parent_id, asked, child.id, now))
        await self._store.commit(replace(self._gather(parent, step, marks), beats=beats))
        return ChildOpening(step.row, repeated=False)

    def _gather(self, parent: Session, born: Step[Session], marks: tuple[Once, ...]) -> Change:
        return Change(steps=(child_opened(parent, born.row.id, born.row.requested_at), born), once=marks)

    async def _charter(self, parent: Session) -> Charter:
        name, _, number = parent.charter.rpartition("@")
        charter = await self._store.charter(name, int(number))
        if charter is None:
            raise NotFound("unknown_charter", f"there is no charter `{parent.charter}`")
        return charter

    def _describe(self, parent: Session, asked: Asked, given: Portion, now: datetime) -> Session:
        return Session(
            id=SessionId(from_uuid(SESSION, self._entropy.uuid7())),
            version=1,
            state=State.REQUESTED,
            client=parent.client,
            owner=parent.owner,
            task=Task(parent.task.kind, asked.ref or parent.task.ref),
            charter=parent.charter,
            key=asked.key,
            grants=given.grants,
            window=given.window,
            last_end=parent.last_end,
            renewals_left=parent.renewals_left,
            renew_by=parent.renew_by,
            beat=replace(parent.beat, evidence="key"),  # fresh evidence is the parent's to bring
            activate_by=min(now + self._settings.activate_within, given.window.closes),
            generation=1,
            context={**asked.context, **parent.context},  # what was observed of the parent holds for it too
            requested_at=now,
            ancestors=(*parent.ancestors, parent.id),
            phase=parent.phase,
            attestor=parent.attestor,
            mark_n=parent.mark_n,  # what ends the parent by selector refuses the child at once, too
            client_name=parent.client_name,
            pauses_at=parent.pauses_at,
            break_glass=parent.break_glass,
        )

    async def _repeated(self, parent: SessionId, asked: Asked) -> ChildOpening | None:
        if asked.idempotency is None:
            return None
        value = await self._store.mark(CHILD_MARK, f"{parent}:{asked.idempotency}", self._clock.now())
        if value is None:
            return None
        child, _, request_hash = value.partition(" ")
        if request_hash != asked.request_hash:
            raise Invalid("idempotency_mismatch", "the idempotency key was used before, for another request")
        session = await self._store.session(SessionId(child))
        if session is None:
            return None
        await self._store.commit(Change(once=asked.once))  # proofs serve once, whatever for
        return ChildOpening(session, repeated=True)

    def _remember(self, parent: SessionId, asked: Asked, child: SessionId, now: datetime) -> tuple[Once, ...]:
        if asked.idempotency is None:
            return ()
        until = now + self._settings.remember_calls
        return (Once(CHILD_MARK, f"{parent}:{asked.idempotency}", until, f"{child} {asked.request_hash}"),)
