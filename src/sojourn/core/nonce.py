"""Nonces that a server gives and takes back in proofs (RFC 9449, sections 8 and 9).

A nonce is a MAC over the minute it was made in, so nothing has to be remembered: who holds the
secret takes those of this minute and of the one before.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime
from typing import Final

from sojourn.core.window import to_micros

WINDOW_S: Final = 60


def nonces_at(secret: bytes, now: datetime) -> tuple[str, ...]:
    """The nonces that are good now, the newest first: that one is given out."""
    window = to_micros(now) // (WINDOW_S * 1_000_000)
    return _nonce(secret, window), _nonce(secret, window - 1)


def _nonce(secret: bytes, window: int) -> str:
    made = hmac.digest(secret, b"dpop nonce" + window.to_bytes(8, "big"), "sha256")
    return base64.urlsafe_b64encode(made[:18]).decode()
