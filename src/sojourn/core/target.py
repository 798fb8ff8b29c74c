"""A system in which credentials exist, and whether it may receive new ones.

Only a target that has passed its preflight opens sessions. Its configuration holds no
secret: the admin credential is sealed and kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sojourn.core.errors import Refused
from sojourn.core.ids import TargetId
from sojourn.core.record import FactKind, RowKind, Step, born, moved


class TargetState(StrEnum):
    """Whether a target may receive new credentials."""

    UNTRIED = "untried"
    READY = "ready"
    UNFIT = "unfit"  # its last preflight failed
    DRAINING = "draining"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Target:
    """One configured system."""

    id: TargetId
    version: int
    state: TargetState
    name: str
    provider: str
    settings: Mapping[str, object]
    templates: Mapping[str, Mapping[str, object]]
    revocation_class: str
    added_at: datetime
    preflight_at: datetime | None = None
    secret_number: int = 1  # which admin credential is sealed beside it, counted from the first


def add(target: Target) -> Step[Target]:
    """The target is known; nothing can be issued in it before a preflight."""
    return born(FactKind.TARGET_ADDED, RowKind.TARGET, target, target.added_at)


def preflighted(target: Target, *, passed: bool, now: datetime) -> Step[Target]:
    """Its preflight ran; a draining target stays draining."""
    state = TargetState.READY if passed else TargetState.UNFIT
    kept = target.state if target.state in (TargetState.DRAINING, TargetState.REMOVED) else state
    return moved(FactKind.TARGET_PREFLIGHTED, RowKind.TARGET, target, now, state=kept, preflight_at=now)


def replace_credential(target: Target, now: datetime) -> Step[Target]:
    """Another admin credential is used from now on; whatever was under way goes on with it."""
    number = target.secret_number + 1
    return moved(FactKind.TARGET_CREDENTIAL_REPLACED, RowKind.TARGET, target, now, secret_number=number)


def drain(target: Target, now: datetime) -> Step[Target]:
    """No new credential is made in it from now on; living ones run to their end."""
    return moved(FactKind.TARGET_DRAINING, RowKind.TARGET, target, now, state=TargetState.DRAINING)


def remove(target: Target, *, living_leases: int, now: datetime) -> Step[Target]:
    """Forget the target.

    Raises:
        Refused: code `target_has_leases`; it still holds credentials of ours.
    """
    if living_leases:
        raise Refused(
            "target_has_leases", f"target `{target.name}` holds {living_leases} living leases; drain it first"
        )
    return moved(FactKind.TARGET_REMOVED, RowKind.TARGET, target, now, state=TargetState.REMOVED)
