"""A refusal as HTTP: status, `WWW-Authenticate` (RFC 9449, section 7.1) and a problem (RFC 9457)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sojourn.core.errors import NonceWanted, Refused, SojournError, Unavailable
from sojourn.core.fingerprint import fingerprint

log: Final = logging.getLogger("sojourn.guard.refused")
RETRY_AFTER_S: Final = "1"
NONCE: Final = "dpop-nonce"
_TITLES: Final = {401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}
# What OAuth clients look for; our own code says more, in the body.
_PROOF_CODES: Final = frozenset({"bad_proof", "replayed_proof"})


@dataclass(frozen=True, slots=True)
class Problem:
    """An HTTP answer that refuses."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def show(error: SojournError, *, metadata: str = "") -> Problem:
    """The answer to a request that `error` refused; `metadata` is where the API describes itself."""
    status = _status(error)
    code = "bad_token" if error.code == "unknown_kid" else error.code
    body = {
        "type": f"urn:sojourn:problem:{code}",
        "title": _TITLES[status],
        "status": status,
        "detail": error.message,
        "code": code,
    }
    octets = json.dumps(body).encode()
    headers = [
        ("content-type", "application/problem+json"),
        ("content-length", str(len(octets))),
        ("cache-control", "no-store"),
    ]
    if status == 503:
        headers.append(("retry-after", RETRY_AFTER_S))
    if status in (401, 403):
        where = f', resource_metadata="{metadata}"' if metadata else ""
        headers.append(("www-authenticate", _challenge(code) + where))
    if isinstance(error, NonceWanted):
        headers.append((NONCE, error.nonce))
    return Problem(status, tuple(headers), octets)


def record(authorization: Iterable[str], proofs: Iterable[str], error: SojournError) -> None:
    """Write a refusal down: by fingerprint only, so that the log is worth nothing to a thief."""
    shown = [fingerprint(each) for each in (*authorization, *proofs)]
    if shown:
        log.info("refused with %s: %s", error.code, shown)


def _status(error: SojournError) -> int:
    if isinstance(error, Unavailable):
        return 503
    return 403 if isinstance(error, Refused) else 401


def _challenge(code: str) -> str:
    if code == "no_token":  # RFC 6750, section 3.1: no error for a request without a token
        return 'DPoP algs="ES256"'
    if code == "insufficient_scope":
        return 'DPoP error="insufficient_scope", algs="ES256"'
    if code == "use_dpop_nonce":  # RFC 9449, section 9
        return 'DPoP error="use_dpop_nonce", algs="ES256"'
    name = "invalid_dpop_proof" if code in _PROOF_CODES else "invalid_token"
    return f'DPoP error="{name}", algs="ES256"'
