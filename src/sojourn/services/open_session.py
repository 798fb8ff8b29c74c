"""Request, attest, decide: a session is asked for and approved, in one commit.

Nothing exists downstream yet and no secret has been made. In this version the charter is
the policy.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from sojourn.config import Settings
from sojourn.core.approval import ask
from sojourn.core.change import Beat, Change, Once, pin
from sojourn.core.charter import Admission, ApprovalRule, Charter, admit
from sojourn.core.client import Client, Role
from sojourn.core.context import require_unattested
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import REVIEW, SESSION, ReviewId, SessionId, from_uuid
from sojourn.core.record import Row, RowKind, Step
from sojourn.core.review import Review, owe
from sojourn.core.scope import Grants
from sojourn.core.session import Session, State, Task, approve, request
from sojourn.core.target import Target, TargetState
from sojourn.core.window import Window
from sojourn.ports.attestor import Attestation, Attestor, Evidence
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store
from sojourn.services._asking import must_ask, request_for
from sojourn.services._beginning import Fits, begin
from sojourn.services._offboarded import require_owner
from sojourn.services._reconciling import require_reconciled
from sojourn.services._runs import claim_run
from sojourn.services._status_places import StatusPlaces
from sojourn.services._superseding import require_predecessor
from sojourn.services.opening_rules import OpeningRules, Ruled

log = logging.getLogger(__name__)

OPEN_MARK: Final = "open"


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a workload asks for, parsed; `key` is the thumbprint its DPoP proof was made with."""

    evidence: Evidence
    task: Task
    grants: tuple[str, ...]
    duration: timedelta | None
    context: Mapping[str, str]
    key: str
    once: tuple[Once, ...] = ()
    idempotency: str | None = None
    request_hash: str = ""
    supersedes: SessionId | None = None
    fits: Fits | None = None


class Asked(Protocol):
    """An `OpenRequest`, or anything of that shape."""

    @property
    def evidence(self) -> Evidence: ...
    @property
    def task(self) -> Task: ...
    @property
    def grants(self) -> tuple[str, ...]: ...
    @property
    def duration(self) -> timedelta | None: ...
    @property
    def context(self) -> Mapping[str, str]: ...
    @property
    def key(self) -> str: ...
    @property
    def once(self) -> tuple[Once, ...]: ...
    @property
    def idempotency(self) -> str | None: ...
    @property
    def request_hash(self) -> str: ...
    @property
    def supersedes(self) -> SessionId | None: ...
    @property
    def fits(self) -> Fits | None: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """A session: approved, active if nothing is to be made for it, or waiting for people.

    `repeated`: the same call was made before.
    """

    session: Session
    repeated: bool


class OpenSession:
    """Says yes or no to a request for a session."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        attestors: Mapping[str, Attestor],
        *,
        settings: Settings,
        rules: OpeningRules | None = None,
        places: StatusPlaces | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._attestors = attestors
        self._settings = settings
        self._rules = rules
        self._places = places

    async def __call__(self, asked: Asked) -> Opening:
        """A session, or the one that the same idempotency key opened before.

        What is said yes to at once, and needs nothing made, is active: see `_beginning`. Nobody has
        a token for it before `ActivateSession` has looked whether an order covers it.

        Raises:
            Unauthenticated: the evidence does not hold.
            Refused: codes `wrong_role`, `not_in_charter`, `target_not_ready`, `class_too_weak`,
                `outside_window`, `policy_refused`, `policy_error`, `replayed`, `run_spent`,
                `job_finished`, `not_lasting`, `owner_left`.
            Invalid: codes `unknown_evidence`, `unknown_grant`, `too_long`, `idempotency_mismatch`,
                `attested_name`.
            NotFound: code `unknown_charter`.
            Unavailable: code `calendar_unavailable`.
        """
        now = self._clock.now()
        require_unattested(asked.context)
        mark_n = (await self._store.head()).feed_n
        attestation = await self._attest(asked.evidence, now)
        marks = (*attestation.once, *asked.once)
        earlier = await self._repeated(asked, attestation.client, marks, now)
        if earlier is not None:
            return earlier
        charter = await self._store.charter(asked.task.kind)
        if charter is None:
            raise NotFound("unknown_charter", f"there is no charter `{asked.task.kind}`")
        await require_owner(self._store, charter)
        await require_predecessor(self._store, asked.supersedes, attestation.client, asked.task)
        name, seen = attestation.client.name, attestation.selectors
        admission = admit(charter, name, asked.grants, asked.duration, attested=seen)
        await self._require_ready(admission.grants)
        _require_lasting(charter, attestation)
        described = self._describe(asked, attestation, charter, admission, now=now, mark_n=mark_n)
        ruled = Ruled(described, {})
        if self._rules is not None:
            ruled = await self._rules(ruled.session, charter)
        if asked.fits is not None:
            asked.fits(ruled.session)
        marks = (*marks, *await claim_run(self._store, attestation.run, ruled.session))
        try:
            rule = await must_ask(self._store, charter, now)
            return await self._commit(asked, attestation, (ruled, rule), marks)
        except Refused:
            # A concurrent call with the same key may have been first.
            earlier = await self._repeated(asked, attestation.client, marks, now)
            if earlier is None:
                raise
            return earlier

    async def _attest(self, evidence: Evidence, now: datetime) -> Attestation:
        attestor = self._attestors.get(evidence.type)
        if attestor is None:
            known = ", ".join(sorted(self._attestors))
            raise Invalid("unknown_evidence", f"no evidence of type `{evidence.type[:40]}`; known: {known}")
        attestation = await attestor.attest(evidence, now)
        if attestation.client.role is not Role.WORKLOAD:
            raise Refused(
                "wrong_role", f"only a workload opens sessions, this is a `{attestation.client.role}`"
            )
        return attestation

    async def _repeated(
        self, asked: Asked, client: Client, marks: tuple[Once, ...], now: datetime
    ) -> Opening | None:
        if asked.idempotency is None:
            return None
        value = await self._store.mark(OPEN_MARK, _call_of(client, asked.idempotency), now)
        if value is None:
            return None
        session_id, _, request_hash = value.partition(" ")
        if request_hash != asked.request_hash:
            raise Invalid("idempotency_mismatch", "the idempotency key was used before, for another request")
        session = await self._store.session(SessionId(session_id))
        if session is None:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        await self._store.commit(Change(once=marks))  # evidence serves once, whatever it is used for
        return Opening(session, repeated=True)

    async def _require_ready(self, grants: Grants) -> None:
        for name in sorted({grant.target for grant in grants.targets}):
            target = await self._store.target_named(name)
            if target is None or target.state is not TargetState.READY:
                state = "unknown" if target is None else target.state
                raise Refused(
                    "target_not_ready", f"target `{name}` is `{state}`; only a ready one opens sessions"
                )
            await require_reconciled(self._store, target)
            _require_class(target, grants)

    def _describe(
        self,
        asked: Asked,
        attested: Attestation,
        charter: Charter,
        admission: Admission,
        *,
        now: datetime,
        mark_n: int,
    ) -> Session:
        renewals = charter.renewals
        closes = now + admission.duration
        latest = min(closes + renewals.times * renewals.by, now + charter.longest)
        return Session(
            id=SessionId(from_uuid(SESSION, self._entropy.uuid7())),
            version=1,
            state=State.REQUESTED,
            client=attested.client.id,
            owner=charter.owner,
            task=asked.task,
            charter=charter.label,
            key=asked.key,
            grants=admission.grants,
            window=Window(now, closes),
            last_end=max(closes, latest),
            renewals_left=renewals.times,
            renew_by=renewals.by,
            beat=charter.beat,
            activate_by=now + self._settings.activate_within,
            generation=1,
            context={**asked.context, **attested.context},  # what was observed wins over what was said
            requested_at=now,
            phase=charter.phases[0].name if charter.phases else None,
            attestor=asked.evidence.type,
            mark_n=mark_n,
            client_name=attested.client.name,
            break_glass=charter.break_glass,
            supersedes=asked.supersedes,
            idle=charter.idle,
        )

    async def _commit(
        self,
        asked: Asked,
        attested: Attestation,
        wished: tuple[Ruled, ApprovalRule | None],
        marks: tuple[Once, ...],
    ) -> Opening:
        (ruled, rule), client = wished, attested.client
        session, now = ruled.session, ruled.session.requested_at
        steps: tuple[Step[Row], ...]
        beats: tuple[Beat, ...] = ()
        if rule is None:
            step = request(session, attested.unknown)
            step = step.then(approve(step.row, session.charter, now, ruled.notes))
            step, beats = await begin(step, self._clock, self._places)
            steps = (step,)
        else:
            waiting, approval = request_for(session, client, rule, self._entropy)
            step = request(waiting, attested.unknown)
            steps = (step, ask(approval))
        if asked.idempotency is not None:
            until = now + self._settings.remember_calls
            call = Once(
                OPEN_MARK, _call_of(client, asked.idempotency), until, f"{session.id} {asked.request_hash}"
            )
            marks = (*marks, call)
        # The client is pinned: one that is removed meanwhile opens nothing.
        steps = (*steps, *self._owed_review(session))
        pins = (pin(RowKind.CLIENT, client),)
        await self._store.commit(Change(steps=steps, pins=pins, once=marks, beats=beats))
        if session.break_glass:
            log.warning("session %s was opened by the break-glass charter %s", session.id, session.charter)
        return Opening(step.row, repeated=False)

    def _owed_review(self, session: Session) -> tuple[Step[Review], ...]:
        if not session.break_glass:
            return ()
        made = ReviewId(from_uuid(REVIEW, self._entropy.uuid7()))
        owed = Review(made, 1, session.id, session.charter, session.owner, session.requested_at)
        return (owe(owed),)


def _require_class(target: Target, grants: Grants) -> None:
    """Refuse a grant that demands more of taking away than its target can do."""
    for grant in grants.targets:
        if grant.target == target.name and target.revocation_class > (grant.at_least or "D"):
            raise Refused(
                "class_too_weak",
                f"grant `{grant.name}` demands class {grant.at_least}, `{target.name}` has"
                f" {target.revocation_class}",
            )


def _require_lasting(charter: Charter, attested: Attestation) -> None:
    """A charter that demands fresh evidence is not opened with what can only repeat itself."""
    if charter.beat.evidence == "fresh" and not attested.lasting:
        raise Refused(
            "not_lasting",
            "the charter demands fresh evidence, and its platform cannot be asked: see `issuers` in the "
            "server's file",
        )


def _call_of(client: Client, key: str) -> str:
    return f"{client.id}:{key}"
