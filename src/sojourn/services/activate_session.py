"""Lease the credentials, make the session active, sign its tokens.

    commit 2   leases planned, under handles we chose      what may come to exist
    issue      each handle sent once, in parallel
    commit 3   leases issued, session active               what does exist

A crash anywhere leaves planned leases on record: the session's deadline ends it and the
reaper finds the handles. Whoever else ends it meanwhile wins, and the secrets are thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final

from sojourn.config import Settings
from sojourn.core.change import Change, Pin, Sealed, pin
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, NotFound, Refused, SojournError
from sojourn.core.ids import LEASE, LeaseId, TargetId, from_uuid
from sojourn.core.lease import Lease, LeaseState, issued, plan
from sojourn.core.record import Row, RowKind, Step, unchanged
from sojourn.core.scope import TargetGrant
from sojourn.core.session import Session, State, activate, prepare
from sojourn.core.target import Target, TargetState
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.provider import Intent, Issued, Provider, Providers
from sojourn.ports.store import Mark, Store
from sojourn.services._beginning import begin
from sojourn.services._kept import KeptSecrets
from sojourn.services._killed import killed_by
from sojourn.services._reconciling import require_reconciled
from sojourn.services._reported_over import require_at_work
from sojourn.services._sending import Credential, RecordOutcomes, Sending
from sojourn.services._status_places import StatusPlaces
from sojourn.services._superseding import supersede
from sojourn.services.end_session import EndSession
from sojourn.services.mint_tokens import MintTokens, Token

SOURCE: Final = "activation"
_CLEAN_UP_S: Final = 10.0
"""How long a cancelled activation may take to record its end; the sweep does it otherwise."""


@dataclass(frozen=True, slots=True)
class Activation:
    """An active session with what its workload needs, told once."""

    session: Session
    tokens: tuple[Token, ...]
    credentials: tuple[Credential, ...]
    mark: Mark


class ActivateSession:
    """Brings an approved session to life, or ends it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        *,
        providers: Providers,
        tokens: MintTokens,
        end: EndSession,
        settings: Settings,
        kept: KeptSecrets,
        places: StatusPlaces | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._places = places
        self._providers = providers
        self._tokens = tokens
        self._end = end
        self._settings = settings
        self._kept = kept
        self._record = RecordOutcomes(store, clock, entropy, kept)

    async def __call__(self, session: Session) -> Activation:
        """The session, active, for the one who opened it; any failure or cancellation ends it.

        Raises:
            TargetError: a target did not make its credential.
            Refused: codes `target_not_ready`, `window_closed`, `session_ended`.
            Unavailable: the store could not answer.
        """
        sending: Sending | None = None
        try:
            await self._require_spared(session)
            targets = await self._targets(session)
            if targets:
                session, sending = await self._plan(session, targets)
                await self._issue(sending, targets)
                activation = await self._activate(session, sending, targets)
            else:
                sending = Sending([])  # nothing to make, so nothing to record before it is made
                activation = await self._activate_bare(session)
            await supersede(self._end, activation.session)
            return activation
        except SojournError as error:
            if not isinstance(error, Conflict):
                await self._give_up(session, sending, error.code)
                raise
            if sending is None:  # somebody else moved it before anything of ours was on record
                raise
            await self._give_up(session, sending, error.code)
            raise Refused("session_ended", "the session was ended while its credentials were made") from error
        except asyncio.CancelledError:
            await see_through(self._give_up(session, sending, "cancelled"))
            raise

    async def _require_spared(self, session: Session) -> None:
        """Refuse what an order covers, or news speaks of, that came before the session did."""
        kill = await killed_by(self._store, session)
        if kill is not None:
            await self._end(session.id, kill.cause)
            raise Refused("session_ended", f"the session was ended by the order `{kill.id}`")
        await require_at_work(self._store, session, self._clock, self._end)

    async def _targets(self, session: Session) -> dict[str, tuple[Target, Provider]]:
        found: dict[str, tuple[Target, Provider]] = {}
        for name in sorted({grant.target for grant in session.grants.targets}):
            target = await self._store.target_named(name)
            if target is None or target.state is not TargetState.READY:
                raise Refused("target_not_ready", f"target `{name}` may not receive credentials now")
            await require_reconciled(self._store, target)
            found[name] = (target, await self._providers.of(target))
        return found

    async def _plan(
        self, session: Session, targets: dict[str, tuple[Target, Provider]]
    ) -> tuple[Session, Sending]:
        now = self._clock.now()
        # Silence is owed from the end of this activation; a row that is there before the
        # session is active means that no crash leaves an active session nobody listens for.
        grace = now + self._settings.issue_fence + session.beat.missed_after
        await self._store.note_beats([(session.id, now, grace)])
        step = prepare(session, now)
        plans = [plan(self._lease(session, grant, targets), now) for grant in session.grants.targets]
        # Pinned: a target that began to drain receives nothing new.
        pins: tuple[Pin, ...] = tuple(pin(RowKind.TARGET, target) for target, _ in targets.values())
        sending = Sending([planned.row for planned in plans])
        await self._store.commit(Change(steps=(step, *plans), pins=pins))
        return step.row, sending

    def _lease(
        self, session: Session, grant: TargetGrant, targets: dict[str, tuple[Target, Provider]]
    ) -> Lease:
        target, provider = targets[grant.target]
        if grant.template not in target.templates:
            raise NotFound("unknown_template", f"target `{target.name}` has no template `{grant.template}`")
        lease_id = from_uuid(LEASE, self._entropy.uuid7())
        return Lease(
            id=LeaseId(lease_id),
            version=1,
            state=LeaseState.PLANNED,
            session=session.id,
            target=TargetId(target.id),
            target_name=target.name,
            grant=grant.name,
            template=grant.template,
            handle=self._settings.handle_prefix + lease_id.removeprefix(f"{LEASE}_"),
            revocation_class=str(provider.revocation_class),
            issue_by=self._clock.now() + self._settings.issue_fence,
            expires_at=session.last_end,
        )

    async def _issue(self, sending: Sending, targets: dict[str, tuple[Target, Provider]]) -> None:
        async def send(lease: Lease) -> Issued:
            target, provider = targets[lease.target_name]
            template = target.templates[lease.template]
            return await provider.issue(Intent(lease.handle, template, lease.issue_by, lease.expires_at))

        # Past the fence an answer cannot matter any more: the target refuses it by then.
        timeout_s = 2 * self._settings.issue_fence.total_seconds()
        await sending.run(send, self._clock, timeout_s=timeout_s)
        if sending.failures:
            raise sending.failures[0]

    async def _activate(
        self, session: Session, sending: Sending, targets: dict[str, tuple[Target, Provider]]
    ) -> Activation:
        place = await self._places.take() if self._places else None
        now = self._clock.now()
        step = activate(session, now, status=place)
        made: list[Step[Row]] = []
        sealed: list[Sealed] = []
        for lease in sending.leases:
            answer = sending.answers[lease.id]
            kept = self._kept.sealed(lease.id, answer)
            made.append(issued(lease, answer.target_id, now, keeps=bool(kept)))
            sealed += kept
        head = await self._store.commit(Change(steps=(step, *made), sealed=tuple(sealed)))
        now = self._clock.now()
        await self._store.note_beats([(session.id, now, now + session.beat.missed_after)])
        tokens = self._tokens(step.row, head.mark)
        return Activation(step.row, tokens, credentials(sending, targets), head.mark)

    async def _activate_bare(self, session: Session) -> Activation:
        """Without credentials one commit does, which may have been the one that opened the session."""
        if session.state is State.ACTIVE:
            head = await self._store.head()
        else:
            step, beats = await begin(unchanged(session), self._clock, self._places)
            session, head = step.row, await self._store.commit(Change(steps=(step,), beats=beats))
        return Activation(session, self._tokens(session, head.mark), (), head.mark)

    async def _give_up(self, session: Session, sending: Sending | None, detail: str) -> None:
        """Record what is known of each send, then end the session; both may be repeated."""
        if sending is not None:
            await self._record(sending)
        await self._end(session.id, Cause(Reason.ACTIVATION_FAILED, SOURCE, detail))


def credentials(sending: Sending, targets: dict[str, tuple[Target, Provider]]) -> tuple[Credential, ...]:
    """What the workload is shown of the sends that were answered."""
    shown = []
    for lease in sending.leases:
        answer = sending.answers[lease.id]
        provider = targets[lease.target_name][0].provider
        shown.append(
            Credential(lease.grant, lease.target_name, provider, dict(answer.connection), answer.secret)
        )
    return tuple(shown)


async def see_through(work: Coroutine[None, None, None]) -> None:
    """Finish `work` though the caller is being cancelled; the sweep does it if this fails too."""

    async def bounded() -> None:
        try:
            async with asyncio.timeout(_CLEAN_UP_S):
                await work
        except (SojournError, TimeoutError):
            return  # the deadline of the session and the reaper find it

    await asyncio.shield(asyncio.ensure_future(bounded()))
