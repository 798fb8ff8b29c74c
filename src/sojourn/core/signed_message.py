"""Standard Webhooks: a body signed together with an id and the second it was sent.

    webhook-id: ID
    webhook-timestamp: SECONDS
    webhook-signature: v1,BASE64(HMAC-SHA-256(key, "ID.SECONDS.BODY"))

Both ways: what other systems send us, and what we send them. A secret that begins with `whsec_`
is its Base64 rest, decoded, as the specification has it; any other text is the key itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sojourn.core.errors import Unauthenticated
from sojourn.core.secret import Secret
from sojourn.core.window import to_micros

TOLERANCE: Final = timedelta(minutes=5)
PREFIX: Final = "whsec_"
LONGEST_ID: Final = 256
_MOST_SIGNATURES: Final = 8  # several keys may overlap while one is changed
_SECOND: Final = timedelta(seconds=1)
_MICROS: Final = _SECOND // timedelta(microseconds=1)


def headers_of(message_id: str, body: bytes, secret: Secret, now: datetime) -> dict[str, str]:
    """The three headers of `body`, signed at `now`."""
    stamp = str(to_micros(now) // _MICROS)
    signature = base64.b64encode(_mac(secret, message_id, stamp, body)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def require_signed(headers: Mapping[str, str], body: bytes, secret: Secret, now: datetime) -> str:
    """The id of a message that was signed with `secret` within five minutes of `now`.

    Header names are in lower case. It is not checked that the id is new: who takes an effect from
    the message remembers it for twice `TOLERANCE`.

    Raises:
        Unauthenticated: code `bad_signature`; which part was wrong is not said of a secret.
    """
    name, stamp = (headers.get(f"webhook-{one}", "") for one in ("id", "timestamp"))
    if not 0 < len(name) <= LONGEST_ID or not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 12:
        raise _unsigned("expected `webhook-id` and `webhook-timestamp`")
    if abs(to_micros(now) - int(stamp) * _MICROS) > TOLERANCE // timedelta(microseconds=1):
        raise _unsigned("the message is too old, or from the future")
    expected = _mac(secret, name, stamp, body)
    shown = headers.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
    if not any(hmac.compare_digest(expected, _signature(one)) for one in shown):
        raise _unsigned("expected a message signed with the secret that is kept here")
    return name


def _mac(secret: Secret, message_id: str, stamp: str, body: bytes) -> bytes:
    return hmac.new(_key(secret), f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if not text.startswith(PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return text.encode()  # it only looks like one


def _signature(text: str) -> bytes:
    version, _, encoded = text.partition(",")
    try:
        return base64.b64decode(encoded, validate=True) if version == "v1" else b""
    except (binascii.Error, ValueError):
        return b""


def _unsigned(why: str) -> Unauthenticated:
    return Unauthenticated("bad_signature", why)
