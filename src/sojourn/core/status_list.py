"""A status list: two bits for each session, compressed, for checkers that follow no feed.

IETF Token Status List, draft 21: entry 0 lies in the lowest bits of the first byte. Places are
given in an order that tells nobody how many sessions there were before: a secret permutation of
a counter, so that no place is given twice and none has to be looked up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.core.session import Session, State

BITS: Final = 2
SIZE: Final = 1 << 16  # places of one list: 16 KiB before compression
BLOCK: Final = 256  # places that one process takes at a time
MOST_BYTES: Final = 1 << 20  # of a list that is read, uncompressed
_HALF: Final = 8  # bits
_ROUNDS: Final = 6


class Status(IntEnum):
    """What an entry says."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


@dataclass(frozen=True, slots=True)
class StatusPlace:
    """Where the status of a session is kept."""

    list: str
    index: int


def status_of(state: State) -> Status:
    """What the list says of a session in that state; only exactly `active` is valid."""
    if state is State.ACTIVE:
        return Status.VALID
    return Status.SUSPENDED if state is State.SUSPENDED else Status.INVALID


def placed(session: Session) -> StatusPlace | None:
    """Where the session stands, if it was given a place."""
    if session.status_list is None or session.status_index is None:
        return None
    return StatusPlace(session.status_list, session.status_index)


def spread(secret: bytes, serial: int) -> int:
    """The place of the `serial`-th session of a list: each place once, in no order that can be told.

    A Feistel network over 16 bits, whose rounds are HMAC-SHA-256 under the list's secret.
    """
    if not 0 <= serial < SIZE:
        raise Invalid("bad_index", f"expected a number below {SIZE}")
    left, right = serial >> _HALF, serial & (1 << _HALF) - 1
    for turn in range(_ROUNDS):
        left, right = right, left ^ hmac.digest(secret, bytes((turn, right)), hashlib.sha256)[0]
    return left << _HALF | right


def write(statuses: Mapping[int, Status], *, size: int = SIZE) -> str:
    """The member `lst`: everything that is not named is valid."""
    octets = bytearray(size * BITS // 8)
    for index, status in statuses.items():
        octets[index * BITS // 8] |= status << index * BITS % 8
    return base64.urlsafe_b64encode(zlib.compress(bytes(octets), 9)).rstrip(b"=").decode()


def read(lst: str, index: int, *, bits: int = BITS) -> int:
    """The entry `index` of a list.

    Raises:
        Invalid: code `bad_status_list`, also for an index that lies outside it.
    """
    if bits not in (1, 2, 4, 8):
        raise Invalid("bad_status_list", f"expected 1, 2, 4 or 8 bits, got {bits}")
    try:
        packed = base64.b64decode(lst + "=" * (-len(lst) % 4), b"-_", validate=True)
        inflate = zlib.decompressobj()
        octets = inflate.decompress(packed, MOST_BYTES)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise Invalid("bad_status_list", "the list cannot be read") from error
    if inflate.unconsumed_tail or not 0 <= index < len(octets) * 8 // bits:
        raise Invalid("bad_status_list", f"the list has no entry {index}")
    return octets[index * bits // 8] >> index * bits % 8 & (1 << bits) - 1
