"""The evidence bundle of one session: its facts, their proofs and a checkpoint, in one signed file.

It knows the format and how to write it; whether a bundle proves anything is `verify`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sojourn.ledger.canonical import JsonObject, JsonValue, canonical, parse_canonical
from sojourn.ledger.checkpoint import MAX_BYTES as MAX_CHECKPOINT_BYTES
from sojourn.ledger.checkpoint import parse_checkpoint
from sojourn.ledger.credentials import derive
from sojourn.ledger.errors import LedgerError, quote
from sojourn.ledger.instants import read_instant, show_instant
from sojourn.ledger.leaf import LeafRecord, check_session, record_of
from sojourn.ledger.merkle import HASH_BYTES
from sojourn.ledger.note import Signer, from_base64, parse_note, parse_vkey, sign_note, to_base64
from sojourn.ledger.shape import exact_object, list_of, text_of

HEADER: Final = "sojourn.dev/bundle/v1\n"
FORMAT: Final = "sojourn-bundle/1"
MAX_BUNDLE_BYTES: Final = 16 * 1024 * 1024
"""Room for some ten thousand facts with proofs; a verifier holds it in memory several times."""

_MAX_PROOF: Final = 63
_MEMBERS: Final = frozenset(
    {"format", "origin", "vkey", "session", "facts", "proofs", "checkpoint", "credentials", "made_at"}
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read: well-formed, and not yet believed.

    `credentials` is the summary as the file states it.
    """

    origin: str
    vkey: str
    session: str
    facts: tuple[LeafRecord, ...]
    proofs: tuple[tuple[bytes, ...], ...]
    checkpoint: bytes
    credentials: list[JsonValue]
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Seal:
    """The key that signs a bundle, with its public half as published."""

    signer: Signer
    vkey: str


def build(
    facts: Sequence[LeafRecord],
    proofs: Sequence[Sequence[bytes]],
    checkpoint: bytes,
    *,
    seal: Seal,
    made_at: datetime,
) -> bytes:
    """Write and sign the bundle of the session to which `facts`, in number order, belong.

    `checkpoint` is the signed note; each proof leads from its fact to that checkpoint. The
    origin is the checkpoint's. Nothing is proven here: run `verify` on the answer.

    Raises:
        LedgerError: codes `bad_bundle` and `too_large`, or one about a part.
    """
    session = facts[0].session if facts else None
    if session is None or len(proofs) != len(facts):
        raise LedgerError("bad_bundle", "expected facts of a session and one proof for each")
    key = parse_vkey(seal.vkey)
    if (key.name, key.key_id) != (seal.signer.name, seal.signer.key_id):
        raise LedgerError("bad_bundle", "the key to be named is not the key that signs")
    origin = parse_checkpoint(parse_note(checkpoint, max_bytes=MAX_CHECKPOINT_BYTES).text).origin
    content: JsonObject = {
        "format": FORMAT,
        "origin": origin,
        "vkey": seal.vkey,
        "session": session,
        "facts": [fact.to_json() for fact in facts],
        "proofs": [[to_base64(hashed) for hashed in proof] for proof in proofs],
        "checkpoint": checkpoint.decode("utf-8"),
        "credentials": [credential.to_json() for credential in derive(facts)],
        "made_at": show_instant(made_at),
    }
    return seal_content(content, seal.signer)


def seal_content(content: JsonObject, signer: Signer) -> bytes:
    """Sign the JSON object of a bundle as it stands.

    Raises:
        LedgerError: code `too_large`, or one of `canonical` and `sign_note`.
    """
    raw = sign_note(f"{HEADER}{canonical(content).decode('utf-8')}\n", [signer])
    if len(raw) > MAX_BUNDLE_BYTES:
        raise LedgerError("too_large", f"expected at most {MAX_BUNDLE_BYTES} bytes of bundle, got {len(raw)}")
    return raw


def content_bytes(text: str) -> bytes:
    """The JSON line of a bundle note's text.

    Raises:
        LedgerError: code `bad_bundle`; the text is not the header and one line.
    """
    line = text.removeprefix(HEADER).removesuffix("\n")
    if not text.startswith(HEADER) or not line or "\n" in line:
        raise LedgerError("bad_bundle", f"expected {quote(HEADER.strip())} and one line of JSON")
    return line.encode("utf-8")


def parse_content(raw: bytes) -> JsonValue:
    """The canonical JSON of a bundle; raises as `parse_canonical`."""
    return parse_canonical(raw, max_bytes=MAX_BUNDLE_BYTES)


def read_content(value: JsonValue) -> Bundle:
    """Read the JSON object of a bundle.

    Raises:
        LedgerError: code `bad_bundle`, or one about a part of it.
    """
    members = exact_object(value, _MEMBERS)
    if text_of(members, "format") != FORMAT:
        raise LedgerError("bad_bundle", f"expected format {quote(FORMAT)}")
    facts, proofs = list_of(members, "facts"), list_of(members, "proofs")
    if not facts or len(facts) != len(proofs):
        raise LedgerError("bad_bundle", "expected facts and one proof for each")
    session = text_of(members, "session")
    check_session(session)
    return Bundle(
        origin=text_of(members, "origin"),
        vkey=text_of(members, "vkey"),
        session=session,
        facts=tuple(record_of(fact) for fact in facts),
        proofs=tuple(_read_proof(proof) for proof in proofs),
        checkpoint=text_of(members, "checkpoint").encode("utf-8"),
        credentials=list_of(members, "credentials"),
        made_at=read_instant(members["made_at"]),
    )


def _read_proof(value: JsonValue) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > _MAX_PROOF:
        raise LedgerError("bad_bundle", f"expected a proof of at most {_MAX_PROOF} hashes")
    return tuple(_read_hash(hashed) for hashed in value)


def _read_hash(value: JsonValue) -> bytes:
    raw = from_base64(value) if isinstance(value, str) else b""
    if len(raw) != HASH_BYTES:
        raise LedgerError("bad_bundle", f"expected a hash of {HASH_BYTES} bytes in base64")
    return raw
