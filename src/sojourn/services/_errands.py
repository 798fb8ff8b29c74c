"""New errands for leases, how old one is, and the revocation that goes with the same commit."""

from __future__ import annotations

from datetime import datetime

from sojourn.config import Settings
from sojourn.core.change import Errand, ErrandKind, Revocation, RevocationKind
from sojourn.core.ids import ERRAND, ErrandId, from_uuid, to_uuid
from sojourn.core.lease import Lease
from sojourn.core.session import Session
from sojourn.core.window import from_micros
from sojourn.ports.clock import Entropy


def new_errand(kind: ErrandKind, lease: Lease, entropy: Entropy, now: datetime) -> Errand:
    """Work on `lease`, due at once."""
    made = ErrandId(from_uuid(ERRAND, entropy.uuid7()))
    return Errand(made, kind, lease.id, lease.session, lease.target, now)


def made_at(kind: str, recorded: str) -> datetime:
    """When a row was recorded, of `kind`: its id is a UUIDv7, whose first 48 bits are milliseconds."""
    return from_micros((to_uuid(kind, recorded).int >> 80) * 1000)


def revoke(session: Session, min_generation: int | None, settings: Settings, now: datetime) -> Revocation:
    """Refuse the session's tokens below `min_generation`; None: all of them."""
    keep_until = now + settings.token_life + 2 * settings.tolerance
    return Revocation(RevocationKind.SESSION, session.id, min_generation, keep_until)
