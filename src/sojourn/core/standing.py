"""Standing access: a credential that exists with no session behind it, and how bad that is.

What a finding says of itself becomes a severity, the control ids it touches, and the charter
that would replace it. A secret is never part of a finding, however it was found; one that is
stored safely is still standing: safe storage is not governance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

SHORT: Final = timedelta(hours=24)
"""A credential that ends by itself within a day is no long-lived one."""

UNUSED: Final = timedelta(days=90)
"""Not used for so long: nobody would miss it (SP 800-53 AC-2(3))."""

_SLUG: Final = re.compile(r"[^a-z0-9]+")


class Severity(StrEnum):
    """How soon somebody should act."""

    CRITICAL = "critical"  # everything, for ever
    HIGH = "high"  # for ever, and in a place where others read it, or unused
    MEDIUM = "medium"  # for ever
    LOW = "low"  # it ends by itself


@dataclass(frozen=True, slots=True)
class Standing:
    """One credential that outlives any task. Instants are None where the place does not tell them."""

    kind: str  # what it is, e.g. `aws_access_key`, `postgresql_role`
    place: str  # where it was found: `FILE:LINE`, or a target's name
    name: str  # whose it is: an account, a key id; never a secret
    created_at: datetime | None = None
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    owner_guess: str | None = None
    privileged: bool = False  # it may make other credentials, or everything
    exposed: bool = False  # in clear, in a file
    grants: Mapping[str, Mapping[str, object]] | None = None  # what a charter in its stead would grant


def severity(found: Standing, now: datetime) -> Severity:
    """How bad it is that this credential stands."""
    if found.expires_at is not None and found.expires_at - now <= SHORT:
        return Severity.LOW
    if found.privileged:
        return Severity.CRITICAL
    return Severity.HIGH if found.exposed or _unused(found, now) else Severity.MEDIUM


def controls(found: Standing, now: datetime) -> tuple[str, ...]:
    """The controls it touches: OWASP NHI Top 10 (2025), CSF 2.0, SP 800-53 Rev. 5."""
    touched = ["PR.AA-01", "PR.AA-05"]
    if severity(found, now) is not Severity.LOW:
        touched += ["NHI7:2025", "IA-5"]
    if found.exposed:
        touched += ["NHI2:2025", "IA-5(7)"]
    if found.privileged:
        touched += ["NHI5:2025", "AC-6"]
    if _unused(found, now):
        touched += ["NHI1:2025", "AC-2(3)"]
    return tuple(sorted(touched))


def replacement(found: Standing) -> Mapping[str, object]:
    """A charter that would give a task the same access, for as long as the task takes.

    What cannot be guessed is named so that it stands out: `CHANGE-ME`.
    """
    name = _SLUG.sub("-", f"{found.kind} {found.name}".lower()).strip("-")[:60] or "unnamed"
    grant: Mapping[str, object] = {"audience": "https://CHANGE-ME.example", "actions": ["read"]}
    return {
        "name": name,
        "owner": found.owner_guess or "CHANGE-ME",
        "clients": ["CHANGE-ME"],
        "grants": dict(found.grants or {name: grant}),
        "duration": {"default": "10m", "longest": "1h"},
        "beat": {"every": "10s", "missed_after": "30s"},
    }


def _unused(found: Standing, now: datetime) -> bool:
    return found.last_used_at is not None and now - found.last_used_at > UNUSED
