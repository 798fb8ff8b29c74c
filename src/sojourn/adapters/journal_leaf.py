"""One fact as a leaf of the journal, and back.

The leaf is canonical JSON of `{v, index, at, kind, session, number, body}`; the body holds the
members that changed, the notes, and a few members that an offline reader needs without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from sojourn.adapters.codec import decode_members, from_bytes, plain, shown, to_bytes
from sojourn.core.errors import Invalid
from sojourn.core.ids import SessionId
from sojourn.core.lease import Lease, Residual
from sojourn.core.record import Fact, FactKind, Row, RowKind
from sojourn.core.replay import ROW_TYPES
from sojourn.core.window import parse

VERSION: Final = 1
# An entry bundle of tlog-tiles states a leaf's length in two bytes.
MOST_LEAF_BYTES: Final = 65_535
_ENVELOPE_BYTES: Final = 256  # more than the members around the body can take

Body = dict[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """The body of a fact: its members, and their bytes."""

    members: Body
    raw: bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """A fact with its body, and its number within the session (0 without one)."""

    fact: Fact
    told: Told
    number: int


def tell(fact: Fact, row: Row) -> Told:
    """The body of `fact`, which led to `row`.

    Raises:
        Invalid: code `leaf_too_large`.
    """
    body: Body = {"row": fact.row.value, "id": fact.id, "changes": plain(fact.changes)}
    body.update(cast("Body", plain(fact.notes)))
    if fact.row is RowKind.LEASE:
        body.update(_lease_members(fact, cast("Lease", row)))
    if fact.kind is FactKind.SESSION_ENDING:
        body["cause"] = plain(fact.changes["cause"])
    raw = _bytes(fact, body)
    if len(raw) > MOST_LEAF_BYTES - _ENVELOPE_BYTES:
        raise Invalid(
            "leaf_too_large", f"expected a fact of at most {MOST_LEAF_BYTES} bytes at `{fact.kind}`"
        )
    return Told(body, raw)


def _lease_members(fact: Fact, lease: Lease) -> Body:
    match fact.kind:
        case FactKind.LEASE_PLANNED:
            more: Body = {
                "target": lease.target_name,
                "handle": lease.handle,
                "class": lease.revocation_class,
            }
        case FactKind.LEASE_DESTROYED:
            more = {"method": cast("str", fact.changes["method"])}
        case FactKind.LEASE_STUCK:
            more = cast("Body", plain(cast("Residual", fact.changes["residual"])))
        case _:
            more = {}
    return {"lease": fact.id, **more}


def leaf_of(placed: Placed, index: int) -> bytes:
    """The canonical bytes of the leaf at `index`."""
    fact, raw = placed.fact, placed.told.raw
    if fact.kind is FactKind.SESSION_ENDED:
        raw = _bytes(fact, {**placed.told.members, "count": placed.number})
    session = f'"{fact.session}"' if fact.session else "null"
    # The members in their canonical order; none of these texts needs an escape.
    before = f'{{"at":"{shown(fact.at)}","body":'
    after = (
        f',"index":{index},"kind":"{fact.kind}","number":{placed.number},"session":{session},"v":{VERSION}}}'
    )
    return before.encode() + raw + after.encode()


def _bytes(fact: Fact, members: Body) -> bytes:
    # Only a target's settings and templates are free in form.
    return to_bytes(members, free=fact.row is RowKind.TARGET)


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of a zero byte and the leaf (RFC 9162, section 2.1.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def read_leaf(leaf: bytes) -> Fact:
    """The fact that a leaf of ours records, with its changes as core values; without its notes.

    Raises:
        Invalid: code `bad_record`.
    """
    record = from_bytes(leaf)
    body = record.get("body")
    if record.get("v") != VERSION or not isinstance(body, dict):
        raise Invalid("bad_record", f"expected a leaf of version {VERSION}")
    try:
        kind, row = FactKind(str(record["kind"])), RowKind(body["row"])
        changes = decode_members(ROW_TYPES[row], cast("Mapping[str, object]", body["changes"]))
        session = cast("SessionId | None", record["session"])
        return Fact(kind, row, str(body["id"]), session, parse(str(record["at"])), changes)
    except (KeyError, ValueError, AttributeError) as error:
        raise Invalid("bad_record", "a leaf lacks a member, or names an unknown kind") from error
