"""A signing key of ours: what it is for, and how far its life has come.

One key serves one purpose with one algorithm (RFC 8725, section 3.1). The next key of a purpose
is published before it signs anything, so that nobody meets a signature by an unknown key; a
retired one verifies until nothing it signed can be valid; a revoked one never again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NewType

from sojourn.core.change import Revocation, RevocationKind
from sojourn.core.errors import Conflict
from sojourn.core.record import FactKind, RowKind, Step, born, moved, noted

KeyId = NewType("KeyId", str)

ROTATE_AFTER: Final = timedelta(days=30)
KEEP_VERIFYING: Final = timedelta(seconds=660)
"""The longest life of anything a retired key signed (600 s), how far clocks may differ, and room for
a node that learns of the rotation late."""

REFUSE_FOR: Final = timedelta(days=3650)
"""How long guards are told of a revoked key: whoever has stolen it can sign at any time."""


class Purpose(StrEnum):
    """What a key signs, and nothing else."""

    TOKENS = "tokens"  # access tokens
    INTROSPECTION = "introspection"  # signed introspection responses (RFC 9701)
    STATUS = "status"  # status lists
    EVENTS = "events"  # security event tokens
    CHECKPOINTS = "checkpoints"  # checkpoints of the journal, and bundles


ALGORITHM: Final[Mapping[Purpose, str]] = {
    Purpose.TOKENS: "ES256",
    Purpose.INTROSPECTION: "ES256",
    Purpose.STATUS: "ES256",
    Purpose.EVENTS: "RS256",  # CAEP Interop knows no other
    Purpose.CHECKPOINTS: "Ed25519",
}
AT_ONCE: Final = (Purpose.TOKENS, Purpose.INTROSPECTION, Purpose.STATUS, Purpose.CHECKPOINTS)
"""The purposes whose keys are made on the first start; the others when they are rotated first."""


class KeyState(StrEnum):
    """How far a key's life has come."""

    NEXT = "next"  # published, and signs nothing yet
    ACTIVE = "active"  # signs
    VERIFY_ONLY = "verify_only"  # signs nothing more; what it signed runs out
    REVOKED = "revoked"  # nothing it ever signed is believed


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The public half of one key; `id` is its RFC 7638 thumbprint, as tokens name it in `kid`."""

    id: KeyId
    version: int
    purpose: Purpose
    state: KeyState
    algorithm: str
    jwk: Mapping[str, str]
    made_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None
    revoked_at: datetime | None = None

    def verifies(self, now: datetime) -> bool:
        """Whether what it signed may still be believed."""
        if self.state is KeyState.VERIFY_ONLY and self.purpose is not Purpose.CHECKPOINTS:
            return self.retired_at is not None and now < self.retired_at + KEEP_VERIFYING
        return self.state is not KeyState.REVOKED


def make(key: SigningKey) -> Step[SigningKey]:
    """The key exists, and its public half may be published."""
    return born(FactKind.KEY_MADE, RowKind.KEY, key, key.made_at)


def activate(key: SigningKey, now: datetime) -> Step[SigningKey]:
    """The key signs from now on.

    Raises:
        Conflict: code `wrong_state`; it is no next key.
    """
    _require(key, KeyState.NEXT)
    return moved(FactKind.KEY_ACTIVATED, RowKind.KEY, key, now, state=KeyState.ACTIVE, activated_at=now)


def retire(key: SigningKey, now: datetime) -> Step[SigningKey]:
    """The key signs nothing more; what it signed stays good for as long as that was valid.

    Raises:
        Conflict: code `wrong_state`; it is not the active key.
    """
    _require(key, KeyState.ACTIVE)
    return moved(FactKind.KEY_RETIRED, RowKind.KEY, key, now, state=KeyState.VERIFY_ONLY, retired_at=now)


def revoke(key: SigningKey, now: datetime, by: str) -> Step[SigningKey]:
    """Nothing that the key signed is believed any more, whenever it was signed.

    Raises:
        Conflict: code `wrong_state`; it was revoked before.
    """
    if key.state is KeyState.REVOKED:
        raise Conflict("wrong_state", "the key was revoked before")
    change = {"state": KeyState.REVOKED, "revoked_at": now}
    return noted(FactKind.KEY_REVOKED, RowKind.KEY, key, now, change, {"by": by})


def refusal(key: SigningKey, now: datetime) -> Revocation:
    """What guards are told of a revoked key."""
    return Revocation(RevocationKind.SIGNER, key.id, None, now + REFUSE_FOR)


def sealed_name(kid: str) -> str:
    """Under what name the private half is sealed and stored."""
    return f"key:{kid}"


def in_state(keys: Iterable[SigningKey], purpose: Purpose, state: KeyState) -> SigningKey | None:
    """The newest key of that purpose in that state."""
    found = [key for key in keys if key.purpose is purpose and key.state is state]
    return max(found, key=lambda key: (key.made_at, key.id), default=None)


def _require(key: SigningKey, state: KeyState) -> None:
    if key.state is not state:
        raise Conflict("wrong_state", f"the key is {key.state}, not {state}")
