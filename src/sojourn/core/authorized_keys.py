"""One line of OpenSSH's list of keys that may log in (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_KEY_TYPES: Final = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")
_EXPIRY: Final = re.compile(r'expiry-time="(\d{8}(?:\d{4}(?:\d{2})?)?)(Z?)"')
_FORMATS: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_LONGEST_COMMENT: Final = 120


@dataclass(frozen=True, slots=True)
class AuthorizedKey:
    """A public key that lets its holder in; what it says of itself gives nothing away."""

    fingerprint: str
    comment: str | None
    expires_at: datetime | None
    authority: bool  # whoever holds it makes as many certificates as they like


def read_line(line: str) -> AuthorizedKey | None:
    """The key in a line, or None for a remark, an empty line, or what is no key."""
    words = line.split()
    start = next((i for i, word in enumerate(words) if word.startswith(_KEY_TYPES)), None)
    if not words or words[0].startswith("#") or start is None or len(words) < start + 2:
        return None
    options = " ".join(words[:start])
    comment = " ".join(words[start + 2 :])[:_LONGEST_COMMENT]
    authority = "cert-authority" in options.split(",")
    return AuthorizedKey(_fingerprint(words[start + 1]), comment or None, _expiry(options), authority)


def _fingerprint(blob: str) -> str:
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except ValueError:
        return "a key that cannot be read"
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _expiry(options: str) -> datetime | None:
    found = _EXPIRY.search(options)
    if found is None:
        return None
    try:
        instant = datetime.strptime(found[1], _FORMATS[len(found[1])]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return instant if found[2] else None  # without Z it is local to a machine we do not know
