"""The one place where ports meet adapters: a deployment, from its folder to its loops.

Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from sojourn.adapters.assertions import Assertions
from sojourn.adapters.catalog_attestors import Equipment, make_attestors
from sojourn.adapters.catalog_providers import CatalogProviders
from sojourn.adapters.file_keys import FileKeys
from sojourn.adapters.foreign_tokens import PublishedTokens
from sojourn.adapters.issuer_keys import IssuerKeys
from sojourn.adapters.key_ring import KeyRing
from sojourn.adapters.local_bell import LocalBell
from sojourn.adapters.platforms import AskedPlatforms
from sojourn.adapters.shown_certificates import ShownCertificates
from sojourn.adapters.spiffe_bundles import SpiffeBundles
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.adapters.waking_store import Wake, waking
from sojourn.client.profile import profile_path
from sojourn.config import Settings
from sojourn.core.change import Change, Once
from sojourn.core.client import Role
from sojourn.core.signing_key import Purpose
from sojourn.dev_workload import DevWorkload
from sojourn.faces.http.app import build
from sojourn.faces.http.desk import Desk, Verbs
from sojourn.faces.http.governance import Governance
from sojourn.faces.http.limits import FEED_WAITERS, WATCHERS, Pace, Places
from sojourn.faces.http.meters import Meters
from sojourn.faces.http.peer import PeerTrust
from sojourn.faces.http.replay import Replays
from sojourn.jose import VerifyKey
from sojourn.jose.certificates import registered
from sojourn.outside import Outside
from sojourn.ports.attestor import Attestor
from sojourn.ports.clock import Clock
from sojourn.ports.issuers import Federation
from sojourn.ports.store import Store
from sojourn.ruling import Ruling
from sojourn.services._kept import KeptSecrets
from sojourn.services._keys import Keys
from sojourn.services._own_tokens import OwnTokens
from sojourn.services._status_places import StatusPlaces
from sojourn.services._targets import sealed_name
from sojourn.services.activate_approved import ActivateApproved
from sojourn.services.activate_session import ActivateSession
from sojourn.services.add_target import AddTarget
from sojourn.services.announce_revocations import AnnounceRevocations
from sojourn.services.apply_charter import ApplyCharter
from sojourn.services.approve_session import ApproveSession
from sojourn.services.beat_book import BeatBook
from sojourn.services.beat_session import BeatSession
from sojourn.services.carry_out_kills import CarryOutKills
from sojourn.services.complete_session import CompleteSession
from sojourn.services.drain_target import DrainTarget
from sojourn.services.end_session import EndSession
from sojourn.services.enter_phase import EnterPhase
from sojourn.services.exchange_token import ExchangeToken
from sojourn.services.federate_client import FederateClient
from sojourn.services.find_standing_access import FindStandingAccess
from sojourn.services.forward_request import ForwardRequest
from sojourn.services.inspect_token import InspectToken, RevokeToken
from sojourn.services.lower_grants import LowerGrants
from sojourn.services.mint_tokens import MintTokens
from sojourn.services.narrow_session import NarrowSession
from sojourn.services.offboard_owner import OffboardOwner
from sojourn.services.open_child import OpenChild
from sojourn.services.open_session import OpenSession
from sojourn.services.order_kill import OrderKill
from sojourn.services.preflight_due import PreflightDue
from sojourn.services.preflight_target import PreflightTarget
from sojourn.services.reap_leases import ReapLeases
from sojourn.services.reattest_session import ReattestSession
from sojourn.services.reconcile_sessions import ReconcileSessions
from sojourn.services.reconcile_target import ReconcileTarget
from sojourn.services.register_client import INVITATION, RegisterClient, invitation_key
from sojourn.services.remove_client import RemoveClient
from sojourn.services.remove_target import RemoveTarget
from sojourn.services.replace_credential import ReplaceCredential
from sojourn.services.resume_session import ResumeSession
from sojourn.services.revoke_key import RevokeKey
from sojourn.services.rotate_key import RotateKey
from sojourn.services.seal_journal import SealJournal
from sojourn.services.step_up import StepUp
from sojourn.services.suspend_session import SuspendSession
from sojourn.services.sweep_deadlines import SweepDeadlines
from sojourn.services.tend_keys import TendKeys
from sojourn.services.weigh_usage import WeighUsage
from sojourn.services.write_evidence import WriteEvidence
from sojourn.services.write_status import WriteStatus
from sojourn.worker import Worker

INVITATION_LIFE: Final = timedelta(minutes=15)
STEP_UP_LIFE: Final = timedelta(seconds=60)


_NOBODY: Final = Federation()


class Deployment:
    """Everything that runs in one process, started and stopped together."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        keys: FileKeys,
        calendars: Path,
        *,
        federation: Federation = _NOBODY,
        peers: PeerTrust | None = None,
    ) -> None:
        self.settings = settings
        self.clock, self.entropy, self.bell = SystemClock(), SystemEntropy(), LocalBell()
        self._wake = Wake()
        self._opened = store
        self.failed = store.failed if isinstance(store, SqlStore) else asyncio.Event()
        self.store = waking(store, self._wake)
        self._sealer = keys.sealer
        self._peers = peers or PeerTrust()
        self._nonce_secret = keys.nonce_secret if settings.dpop_nonce else None
        self.ring = KeyRing(self.store, keys.vault, self.clock)
        self._tokens, self._notes = self.ring.signer(Purpose.TOKENS), self.ring.notes(settings.log_name)
        self._keys = Keys(self.store, self.clock, keys.vault, self.ring)
        self._tend = TendKeys(self._keys, self.ring, self.clock)
        self._providers = CatalogProviders(self.store, keys.sealer, self.clock, sealed_name=sealed_name)
        self._kept = KeptSecrets(self.store, keys.sealer)
        self._beats = BeatBook(self.store)
        self._places = StatusPlaces(self.store, self.clock, self.entropy)
        self._end = EndSession(self.store, self.clock, self.entropy, settings)
        self._suspend = SuspendSession(self.store, self.clock, self.entropy, settings)
        self._outside = Outside(self.store, self.clock, self.entropy, keys.sealer, end=self._end)
        self._federation = federation
        self._attestors = _attestors(
            self.store, self.clock, settings.issuer, federation=federation, peers=self._peers
        )
        self._reattest = ReattestSession(
            self.store, self.clock, self._attestors, end=self._end, suspend=self._suspend
        )
        self._rules = Ruling(
            self.store,
            self.clock,
            self.entropy,
            settings,
            calendars=calendars,
            end=self._end,
            suspend=self._suspend,
        )
        self.verbs = self._verbs()
        self.app: ASGIApp = build(self._desk())
        self._worker = self._make_worker()
        self._running: asyncio.Task[None] | None = None

    async def prepare(self) -> Deployment:
        """See to it that there are keys to sign with.

        Raises:
            Unavailable: code `no_signer`; one is missing and cannot be made.
        """
        await self._tend.run_once()
        return self

    def start(self) -> None:
        """Start the loops that keep promises."""
        self._running = asyncio.create_task(self._worker.run())

    async def stop(self) -> None:
        """Stop the loops, write down the last beats, close everything."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        try:
            await self._beats.flush()
        finally:
            await self._providers.close()
            await self._opened.close()

    async def invite(self) -> str | None:
        """A one-time link for the first operator; None once there is one."""
        if any(c.role is Role.OPERATOR and c.removed_at is None for c in await self.store.clients()):
            return None
        secret = self.entropy.token(32)
        mark = Once(INVITATION, invitation_key(secret), self.clock.now() + INVITATION_LIFE)
        await self.store.commit(Change(once=(mark,)))
        return f"{self.settings.issuer}/login#{secret}"

    async def certificates(self) -> list[bytes]:
        """The certificates that clients are registered with."""
        rules = [one.certificate for one in await self.store.clients() if one.removed_at is None]
        return [known.der for rule in rules if (known := registered(rule)) is not None]

    async def enrol_dev(self, state: Path) -> Path:
        """Where the profile of the workload `dev` is, enrolled if it was not."""
        workload = DevWorkload(self.store, self.verbs, self.settings.issuer, self._notes.vkey)
        return await workload.enrol(profile_path("workload", os.environ), state / "workload.json")

    def _make_worker(self) -> Worker:
        store, clock, settings = self.store, self.clock, self.settings
        holder = f"{settings.deployment}:{os.getpid()}:{self.entropy.token(6)}"
        return Worker(
            ReapLeases(store, clock, self._providers, settings, holder=holder, kept=self._kept),
            SweepDeadlines(store, clock, self._end, self._suspend, started_at=clock.now(), beats=self._beats),
            AnnounceRevocations(store, self.bell),
            SealJournal(store, clock, self._notes, self._notes.name),
            tend=self._tend,
            clock=clock,
            store=store,
            wake=self._wake,
            sweep_every_s=settings.sweep_every.total_seconds(),
            preflight=PreflightDue(
                store, clock, PreflightTarget(store, clock, self._providers, settings), settings
            ),
            kills=CarryOutKills(store, clock, self._end),
            watch=self._outside.watch,
            hooks=self._outside.tell(self._federation.hook_hosts, issuer=settings.issuer, holder=holder),
            rules=self._rules.reevaluate,
        )

    def _desk(self) -> Desk:
        places = Places(FEED_WAITERS)
        return Desk(
            settings=self.settings,
            clock=self.clock,
            store=self.store,
            bell=self.bell,
            signer=self._tokens,
            notes=self._notes,
            keys=self.ring,
            attestors=self._attestors,
            replays=Replays(self.store),
            feed_places=places,
            watch_places=Places(WATCHERS),
            pace=Pace(self.settings.calls_per_second),
            meters=Meters(places, self._rules.book),
            verbs=self.verbs,
            peers=self._peers,
            nonce_secret=self._nonce_secret,
        )

    def _beat(self, mint: MintTokens) -> BeatSession:
        return BeatSession(
            self.store,
            self.clock,
            mint,
            self._beats,
            reattest=self._reattest,
            keep=self._rules.keep,
            end=self._end,
        )

    def _mint(self) -> MintTokens:
        life, usable = self.settings.token_life, self._rules.book.usable
        return MintTokens(
            self._tokens, self.clock, self.entropy, self.settings.issuer, life=life, usable=usable
        )

    def _resume(self, mint: MintTokens) -> ResumeSession:
        return ResumeSession(
            self.store,
            self.clock,
            self.entropy,
            reattest=self._reattest,
            providers=self._providers,
            tokens=mint,
            end=self._end,
            settings=self.settings,
            kept=self._kept,
            keep=self._rules.keep,
            windows=self._rules.windows,
        )

    def _verbs(self) -> Verbs:
        store, clock, entropy, settings = self.store, self.clock, self.entropy, self.settings
        providers, end, sealer = self._providers, self._end, self._sealer
        mint = self._mint()
        register = RegisterClient(store, clock, entropy, lambda jwk: VerifyKey.from_jwk(jwk).jwk)
        own_tokens = OwnTokens(store, clock, self._tokens, settings.issuer)
        activate = self._activating(mint)
        usage = WeighUsage(store, clock, entropy, end)
        return Verbs(
            open_session=self._opening(),
            open_child=self._opening_children(),
            activate=activate,
            beat=self._beat(mint),
            narrow=NarrowSession(store, clock, entropy, settings),
            complete=CompleteSession(store, end),
            mint=mint,
            own_tokens=own_tokens,
            exchange=ExchangeToken(store, clock, mint),
            inspect=InspectToken(own_tokens),
            revoke=RevokeToken(own_tokens, end),
            write_status=WriteStatus(store, clock, self.ring.signer(Purpose.STATUS), settings.issuer),
            suspend=self._suspend,
            resume=self._resume(mint),
            end=end,
            login=register.login,
            register_client=register,
            federate_client=FederateClient(store, clock, entropy, settings.issuer),
            remove_client=RemoveClient(store, clock, OrderKill(store, clock, entropy, settings)),
            apply_charter=ApplyCharter(store, clock, entropy),
            apply_policy=self._rules.apply,
            explain=self._rules.explain,
            operate=self._rules.book.require_operate,
            review_session=self._rules.review,
            add_target=AddTarget(store, clock, entropy, sealer, make=providers.make),
            preflight_target=PreflightTarget(store, clock, providers, settings),
            forward=ForwardRequest(store, clock, self.bell, providers, usage=usage),
            find_standing=FindStandingAccess(store, providers, settings),
            replace_credential=ReplaceCredential(store, clock, sealer, settings, make=providers.make),
            drain_target=DrainTarget(store, clock),
            remove_target=RemoveTarget(store, clock),
            reconcile_target=ReconcileTarget(store, providers, settings),
            reconcile_sessions=ReconcileSessions(store),
            write_evidence=WriteEvidence(store, clock, self._notes),
            rotate_key=RotateKey(self._keys, clock),
            revoke_key=RevokeKey(self._keys, clock),
            governance=self._governance(activate, usage),
        )

    def _short_tokens(self) -> MintTokens:
        life, usable = min(STEP_UP_LIFE, self.settings.token_life), self._rules.book.usable
        return MintTokens(
            self._tokens, self.clock, self.entropy, self.settings.issuer, life=life, usable=usable
        )

    def _opening(self) -> OpenSession:
        return OpenSession(
            self.store,
            self.clock,
            self.entropy,
            self._attestors,
            settings=self.settings,
            rules=self._rules.opening,
            places=self._places,
        )

    def _opening_children(self) -> OpenChild:
        may = self._rules.book.require_delegate
        return OpenChild(self.store, self.clock, self.entropy, self.settings, may=may, places=self._places)

    def _activating(self, mint: MintTokens) -> ActivateSession:
        return ActivateSession(
            self.store,
            self.clock,
            self.entropy,
            providers=self._providers,
            tokens=mint,
            end=self._end,
            settings=self.settings,
            kept=self._kept,
            places=self._places,
        )

    def _governance(self, activate: ActivateSession, usage: WeighUsage) -> Governance:
        store, clock, entropy, settings = self.store, self.clock, self.entropy, self.settings
        order = OrderKill(store, clock, entropy, settings)
        approve = ApproveSession(store, clock, entropy, self._end, may=self._rules.book.require_approve)
        return Governance(
            order_kill=order,
            offboard=OffboardOwner(store, order, RemoveClient(store, clock, order)),
            lower=LowerGrants(store, clock, entropy, providers=self._providers, settings=settings),
            enter_phase=EnterPhase(store, clock, NarrowSession(store, clock, entropy, settings)),
            approve=approve,
            activate=ActivateApproved(
                store,
                clock,
                self._reattest,
                activate,
                windows=self._rules.windows,
                shorten=self._rules.shorten,
            ),
            usage=usage,
            signals=self._outside.signals,
            step_up=StepUp(store, clock, entropy, self._short_tokens()),
            triggers=self._outside.triggers,
            hooks=self._outside.hooks,
            answer_by_hook=self._outside.answers(approve),
        )


def _attestors(
    store: Store, clock: Clock, issuer: str, *, federation: Federation, peers: PeerTrust
) -> Mapping[str, Attestor]:
    tokens = PublishedTokens(IssuerKeys(clock, federation), SpiffeBundles(clock, federation))
    platforms, certificates = AskedPlatforms(federation), ShownCertificates(peers.authorities)
    return make_attestors(Equipment(store, Assertions(issuer), tokens, platforms, certificates))
