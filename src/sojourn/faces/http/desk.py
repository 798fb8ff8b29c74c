"""Everything the HTTP face is given: services, reads, keys. Made in `wiring`, never here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request

from sojourn.config import Settings
from sojourn.faces.http import doors
from sojourn.faces.http.governance import Governance
from sojourn.faces.http.limits import Pace, Places
from sojourn.faces.http.meters import Meters
from sojourn.faces.http.peer import PeerTrust
from sojourn.faces.http.replay import Replays
from sojourn.ports.attestor import Attestor
from sojourn.ports.clock import Clock
from sojourn.ports.feed import Bell
from sojourn.ports.keys import KeyRing, NoteSigner, TokenSigner
from sojourn.ports.store import Store


@dataclass(frozen=True, slots=True)
class Verbs:
    """What callers can have done."""

    open_session: doors.OpenSession
    open_child: doors.OpenChild
    activate: doors.ActivateSession
    beat: doors.BeatSession
    narrow: doors.NarrowSession
    complete: doors.CompleteSession
    mint: doors.Mint
    own_tokens: doors.OwnTokens
    exchange: doors.ExchangeToken
    inspect: doors.InspectToken
    revoke: doors.RevokeToken
    write_status: doors.WriteStatus
    suspend: doors.StopSession
    resume: doors.ResumeSession
    end: doors.StopSession
    login: doors.Login
    register_client: doors.RegisterClient
    federate_client: doors.FederateClient
    remove_client: doors.RemoveClient
    apply_charter: doors.ApplyCharter
    apply_policy: doors.ApplyPolicy
    explain: doors.Explain
    operate: doors.Operate
    review_session: doors.ReviewSession
    add_target: doors.AddTarget
    preflight_target: doors.PreflightTarget
    replace_credential: doors.ReplaceCredential
    find_standing: doors.FindStanding
    forward: doors.Forward
    drain_target: doors.ChangeTarget
    remove_target: doors.ChangeTarget
    reconcile_target: doors.ReconcileTarget
    reconcile_sessions: doors.ReconcileSessions
    write_evidence: doors.WriteEvidence
    governance: Governance
    rotate_key: doors.RotateKey
    revoke_key: doors.RevokeKey


@dataclass(frozen=True, slots=True)
class Desk:
    """The face's whole world."""

    settings: Settings
    clock: Clock
    store: Store
    bell: Bell
    signer: TokenSigner
    notes: NoteSigner
    keys: KeyRing
    attestors: Mapping[str, Attestor]
    replays: Replays
    feed_places: Places
    watch_places: Places
    pace: Pace
    meters: Meters
    verbs: Verbs
    peers: PeerTrust = field(default_factory=PeerTrust)
    nonce_secret: bytes | None = None  # without one, proofs need no nonce


def desk_of(request: Request) -> Desk:
    """The desk of the app that received `request`."""
    desk: Desk = request.app.state.desk
    return desk
