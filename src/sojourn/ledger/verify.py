"""The offline verifier: a bundle and the keys you trust in, a numbered verdict out.

It asks nobody and reads no clock. Hostile bytes give a failed verdict, never an exception.
Steps that later ones stand on stop at the first failure; the claims are then all checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from sojourn.ledger.bundle import MAX_BUNDLE_BYTES, Bundle, content_bytes, parse_content, read_content
from sojourn.ledger.canonical import JsonValue
from sojourn.ledger.checkpoint import Checkpoint, open_checkpoint
from sojourn.ledger.claims import CLAIMS, has_ended
from sojourn.ledger.credentials import derive
from sojourn.ledger.errors import LedgerError, quote
from sojourn.ledger.instants import show_instant
from sojourn.ledger.note import UncheckedNote, check_note, parse_note
from sojourn.ledger.note_keys import Ed25519Verifier
from sojourn.ledger.shape import as_object, text_of
from sojourn.ledger.verdict import Check, Result, Verdict


def verify(raw: bytes, pinned: Collection[str] = ()) -> Verdict:
    """Check a bundle against the published keys in `pinned`.

    Without any, the best result is `self_consistent_signer_unknown`: anybody can sign a bundle
    and name their own key in it.
    """
    reading = _Reading(raw, tuple(pinned))
    checks: list[Check] = []
    for name, step in _STEPS:
        checks.append(_run(len(checks) + 1, name, partial(step, reading)))
        if not checks[-1].ok:
            return _verdict(checks, reading)
    for name, claim in CLAIMS:
        checks.append(_run(len(checks) + 1, name, partial(claim, reading.bundle, reading.checkpoint)))
    return _verdict(checks, reading)


@dataclass(slots=True)
class _Reading:
    """What the steps have established so far; each field is set by one step and read by later ones."""

    raw: bytes
    pinned: tuple[str, ...]
    trusted: list[Ed25519Verifier] = field(default_factory=list)
    note: UncheckedNote = field(init=False)
    content: bytes = field(init=False)
    signer: Ed25519Verifier = field(init=False)
    value: JsonValue = field(init=False)
    bundle: Bundle = field(init=False)
    checkpoint: Checkpoint = field(init=False)


_Step: TypeAlias = Callable[[_Reading], str]


def _size(reading: _Reading) -> str:
    if len(reading.raw) > MAX_BUNDLE_BYTES:
        raise LedgerError("too_large", f"expected at most {MAX_BUNDLE_BYTES} bytes, got {len(reading.raw)}")
    return f"{len(reading.raw)} bytes"


def _pinned_keys(reading: _Reading) -> str:
    reading.trusted = [Ed25519Verifier.from_vkey(text) for text in reading.pinned]
    return f"{len(reading.trusted)} keys pinned"


def _framing(reading: _Reading) -> str:
    reading.note = parse_note(reading.raw, max_bytes=MAX_BUNDLE_BYTES)
    # Lines by strangers are outside every signature: with room for them, a bundle has many spellings.
    if len(reading.note.signatures) != 1:
        raise LedgerError("bad_bundle", "expected one signature line")
    reading.content = content_bytes(reading.note.text)
    return "a signed note that holds a bundle"


def _signature(reading: _Reading) -> str:
    trusted = {(key.name, key.key_id): key for key in reading.trusted or [_named_key(reading)]}
    check_note(reading.note, trusted.values())
    line = reading.note.signatures[0]
    reading.signer = trusted[line.name, line.key_id]
    kind = "pinned key" if reading.trusted else "key it names itself"
    return f"signed by the {kind} {reading.signer.vkey}"


def _named_key(reading: _Reading) -> Ed25519Verifier:
    return Ed25519Verifier.from_vkey(text_of(as_object(parse_content(reading.content)), "vkey"))


def _canonical(reading: _Reading) -> str:
    reading.value = parse_content(reading.content)
    return "RFC 8785 canonical JSON"


def _format(reading: _Reading) -> str:
    reading.bundle = read_content(reading.value)
    return f"{len(reading.bundle.facts)} facts, made at {show_instant(reading.bundle.made_at)}"


def _key_named(reading: _Reading) -> str:
    if reading.bundle.vkey != reading.signer.vkey:
        raise LedgerError("bad_bundle", "the key named inside is not the key that signed")
    # A key pinned for one log must not vouch for another.
    if reading.bundle.origin != reading.signer.name:
        raise LedgerError("bad_bundle", f"the key does not speak for {quote(reading.bundle.origin)}")
    return f"the key speaks for {reading.bundle.origin}"


def _checkpoint(reading: _Reading) -> str:
    reading.checkpoint = open_checkpoint(reading.bundle.checkpoint, [reading.signer])
    if reading.checkpoint.origin != reading.bundle.origin:
        raise LedgerError("bad_checkpoint", "the checkpoint is of another log than the bundle")
    return f"the same key signed the tree of {reading.checkpoint.size} facts"


_STEPS: Final[tuple[tuple[str, _Step], ...]] = (
    ("size", _size),
    ("pinned_keys", _pinned_keys),
    ("framing", _framing),
    ("signature", _signature),
    ("canonical", _canonical),
    ("format", _format),
    ("key_named", _key_named),
    ("checkpoint", _checkpoint),
)


def _run(number: int, name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(number, name, True, check())
    except LedgerError as error:
        return Check(number, name, False, error.message)


def _verdict(checks: list[Check], reading: _Reading) -> Verdict:
    failed = next((check.name for check in checks if not check.ok), None)
    if failed is not None:
        return Verdict(Result.FAILED, failed, tuple(checks), (), None, ended=False)
    return Verdict(
        result=Result.VERIFIED if reading.trusted else Result.SELF_CONSISTENT,
        failed=None,
        checks=tuple(checks),
        remarks=tuple(_remarks(reading)),
        session=reading.bundle.session,
        ended=has_ended(reading.bundle),
    )


def _remarks(reading: _Reading) -> Iterator[str]:
    last = reading.bundle.facts[-1]
    state = "ended" if has_ended(reading.bundle) else "still open"
    yield f"session {state} at {show_instant(last.at)}"
    for credential in derive(reading.bundle.facts):
        for left in credential.residual:
            until = "without an end" if left.until is None else f"until {show_instant(left.until)}"
            yield f"residual of {credential.lease}: {left.place}, {until}, owner {left.owner}"
    if not reading.trusted:
        yield "self-consistent, signer unknown: compare the key with one you got elsewhere"
