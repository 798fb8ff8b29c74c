"""Whether a DPoP proof fits this request, this minute and this token (RFC 9449, section 4.3, 7-12).

The URL is compared with the configured issuer, never with the `Host` header: behind a proxy
that header says whatever the caller likes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from sojourn.core.errors import Unauthenticated
from sojourn.core.window import EPOCH
from sojourn.faces.http.jose_port import Proof
from sojourn.faces.http.limits import PROOF_FUTURE, PROOF_PAST

_USUAL_PORT: Final = {"http": 80, "https": 443}
_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_LONGEST_JTI: Final = 256


def judge(proof: Proof, method: str, url: str, now: datetime, *, token: str | None) -> None:
    """Hold `proof` to the request it came with.

    Raises:
        Unauthenticated: code `bad_proof`, naming the claim.
    """
    claims = proof.claims
    if not 1 <= len(_text(claims.get("jti"))) <= _LONGEST_JTI:
        raise _bad("jti")
    if claims.get("htm") != method:
        raise _bad("htm")
    if _place(_text(claims.get("htu"))) != _place(url):
        raise _bad("htu")
    if not now - PROOF_PAST <= _instant(claims.get("iat")) <= now + PROOF_FUTURE:
        raise _bad("iat")
    if token is not None and not hmac.compare_digest(_text(claims.get("ath")).encode(), digest_of(token).encode()):
        raise _bad("ath")


def digest_of(token: str) -> str:
    """The `ath` of an access token: base64url of its SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def _bad(claim: str) -> Unauthenticated:
    return Unauthenticated("bad_proof", f"claim `{claim}` of the DPoP proof is missing or does not fit this request")


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.isascii() else ""


def _instant(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LATEST:
        raise _bad("iat")
    return EPOCH + timedelta(seconds=value)


def _place(url: str) -> tuple[str, str, int | None, str] | None:
    """Scheme, host, port and path; query and fragment do not count (RFC 9449, section 4.3, 9)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _USUAL_PORT or parts.username is not None:
        return None
    return parts.scheme, (parts.hostname or ""), port or _USUAL_PORT[parts.scheme], parts.path or "/"
