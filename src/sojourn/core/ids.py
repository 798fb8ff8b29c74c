"""Typed, prefixed identifiers: `ses_` and 26 characters that hold a UUIDv7.

Lower-case base32hex (RFC 4648, section 7) keeps the order of the UUID, so ids sort by
the time they were made. An id names a thing; it never authenticates anybody.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NewType
from uuid import UUID

from sojourn.core.errors import Invalid

SessionId = NewType("SessionId", str)
LeaseId = NewType("LeaseId", str)
ClientId = NewType("ClientId", str)
TargetId = NewType("TargetId", str)
OwnerId = NewType("OwnerId", str)
CharterId = NewType("CharterId", str)
ErrandId = NewType("ErrandId", str)
KillId = NewType("KillId", str)
ApprovalId = NewType("ApprovalId", str)
TriggerId = NewType("TriggerId", str)
PolicyId = NewType("PolicyId", str)
ReviewId = NewType("ReviewId", str)
HookId = NewType("HookId", str)

SESSION: Final = "ses"
LEASE: Final = "lea"
CLIENT: Final = "cli"
TARGET: Final = "tgt"
OWNER: Final = "own"
CHARTER: Final = "cha"
ERRAND: Final = "err"
KILL: Final = "kil"
APPROVAL: Final = "apr"
TRIGGER: Final = "trg"
POLICY: Final = "pol"
REVIEW: Final = "rev"
HOOK: Final = "hok"

_LENGTH: Final = 26
_LEFT_OVER: Final = 2  # bits: 26 characters hold 130, a UUID 128
_BODY: Final = re.compile(rf"[0-9a-v]{{{_LENGTH}}}", re.ASCII)


def from_uuid(prefix: str, value: UUID) -> str:
    """Write `value` under `prefix`, as users see it."""
    return f"{prefix}_{base64.b32hexencode(value.bytes).decode().rstrip('=').lower()}"


def to_uuid(prefix: str, text: str) -> UUID:
    """Read an id of the kind `prefix`.

    Raises:
        Invalid: code `bad_id`; the text is of another kind, or not canonical.
    """
    head, _, body = text.partition("_")
    if head == prefix and _BODY.fullmatch(body):
        value = int(body, 32)
        # Two spellings of one id would let a cache or a log be fooled: what is left over is zero.
        if value % (1 << _LEFT_OVER) == 0:
            return UUID(int=value >> _LEFT_OVER)
    raise Invalid("bad_id", f"expected an id like `{prefix}_…`, got `{text[:40]}`")
