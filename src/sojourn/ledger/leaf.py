"""The leaf of the log: one fact as a record, and the bytes that are hashed.

It knows the envelope of a fact, never the meaning of a kind or of its body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sojourn.ledger.canonical import MAX_INTEGER, JsonObject, JsonValue, canonical, parse_canonical
from sojourn.ledger.errors import LedgerError, quote
from sojourn.ledger.instants import read_instant, show_instant
from sojourn.ledger.merkle import leaf_hash
from sojourn.ledger.shape import as_object, count_of, exact_object, text_of, text_or_null

VERSION: Final = 1
MAX_LEAF_BYTES: Final = 65_535
"""An entry bundle of tlog-tiles gives an entry's length in two bytes."""

_MEMBERS: Final = frozenset({"v", "index", "at", "kind", "session", "number", "body"})
_KIND: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_MAX_KIND: Final = 64
# 26 characters of five bits hold 128: the last one has two bits that must be zero.
_SESSION: Final = re.compile(r"ses_[0-9a-v]{25}[048cgkos]")


@dataclass(frozen=True, slots=True)
class LeafRecord:
    """One fact, at its place in the journal and in its session.

    `number` counts the facts of one session from 1; it is 0 when there is no session.
    """

    index: int
    at: datetime
    kind: str
    session: str | None
    number: int
    body: JsonObject

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_INTEGER or not 0 <= self.number <= MAX_INTEGER:
            raise LedgerError("bad_leaf", "expected an index and a number within 2^53-1")
        if len(self.kind) > _MAX_KIND or not _KIND.fullmatch(self.kind):
            raise LedgerError("bad_leaf", f"expected a kind like `session.ended`, got {quote(self.kind)}")
        if self.session is not None:
            check_session(self.session)
        if (self.session is None) != (self.number == 0):
            raise LedgerError("bad_leaf", "expected a number from 1 with a session, and 0 without")

    def to_json(self) -> JsonObject:
        """The record as a JSON object."""
        return {
            "v": VERSION,
            "index": self.index,
            "at": show_instant(self.at),
            "kind": self.kind,
            "session": self.session,
            "number": self.number,
            "body": self.body,
        }


def leaf_bytes(record: LeafRecord) -> bytes:
    """The bytes of a leaf: the record in canonical JSON.

    Raises:
        LedgerError: code `leaf_too_large`, or one of `canonical`.
    """
    return _bounded(canonical(record.to_json()))


def record_hash(record: LeafRecord) -> bytes:
    """The leaf hash of a record; raises as `leaf_bytes`."""
    return leaf_hash(leaf_bytes(record))


def read_leaf(raw: bytes) -> LeafRecord:
    """Read the bytes of a leaf.

    Raises:
        LedgerError: code `bad_leaf` or `bad_instant`, or one of `parse_canonical`.
    """
    return record_of(parse_canonical(raw, max_bytes=MAX_LEAF_BYTES))


def record_of(value: JsonValue) -> LeafRecord:
    """Read a record from its JSON object.

    Raises:
        LedgerError: codes `bad_leaf` and `bad_instant`.
    """
    try:
        return _record(exact_object(value, _MEMBERS))
    except LedgerError as error:
        if error.code != "bad_shape":
            raise
        raise LedgerError("bad_leaf", error.message) from error


def check_session(text: str) -> None:
    """Refuse text that is not a session id.

    Raises:
        LedgerError: code `bad_leaf`.
    """
    if not _SESSION.fullmatch(text):
        raise LedgerError("bad_leaf", f"expected an id like `ses_…`, got {quote(text)}")


def _record(members: JsonObject) -> LeafRecord:
    if count_of(members, "v") != VERSION:
        raise LedgerError("bad_leaf", f"expected version {VERSION} of the leaf format")
    return LeafRecord(
        index=count_of(members, "index"),
        at=read_instant(members["at"]),
        kind=text_of(members, "kind"),
        session=text_or_null(members, "session"),
        number=count_of(members, "number"),
        body=as_object(members["body"]),
    )


def _bounded(raw: bytes) -> bytes:
    if len(raw) > MAX_LEAF_BYTES:
        raise LedgerError("leaf_too_large", f"expected at most {MAX_LEAF_BYTES} bytes a leaf, got {len(raw)}")
    return raw
