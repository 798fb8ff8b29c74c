"""C2SP signed notes: a text, a blank line, and signature lines by named keys.

It knows the framing and who a key claims to be; which algorithm a key uses is in `note_keys`.
Source: c2sp.org/signed-note.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from sojourn.ledger.errors import LedgerError, quote

MAX_SIGNATURES: Final = 64
"""The specification asks for at least 16; a bound keeps hostile notes cheap."""

_DASH: Final = "\N{EM DASH} "
_KEY_ID_BYTES: Final = 4
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f]")


class Signer(Protocol):
    """A key that signs, wherever it lives."""

    @property
    def name(self) -> str:
        """The key's name in signature lines."""
        ...

    @property
    def key_id(self) -> bytes:
        """The key's four-byte id."""
        ...

    def sign(self, text: bytes) -> bytes:
        """Sign the text of a note."""
        ...


class Verifier(Protocol):
    """A key that is trusted to sign."""

    @property
    def name(self) -> str:
        """The key's name in signature lines."""
        ...

    @property
    def key_id(self) -> bytes:
        """The key's four-byte id."""
        ...

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's signature of `text`."""
        ...


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key as published: `name+hex(key id)+base64(algorithm and key)`."""

    name: str
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def key_id(self) -> bytes:
        """The four-byte id derived from name, algorithm and key."""
        named = b"%s\n%c%s" % (self.name.encode(), self.algorithm, self.public)
        return sha256(named).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.algorithm]) + self.public)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line; nobody has checked it yet."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class UncheckedNote:
    """A well-framed note whose signatures nobody has checked yet."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A text, and the known keys that signed it: at least one."""

    text: str
    signers: tuple[Verifier, ...]


def parse_vkey(text: str) -> VerifierKey:
    """Read a published key.

    Raises:
        LedgerError: code `bad_vkey`.
    """
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    try:
        key = from_base64(encoded)
        vkey = VerifierKey(name, key[0], key[1:]) if len(key) > 1 else None
    except LedgerError as error:
        raise LedgerError("bad_vkey", f"expected `name+id+key`, got {quote(text)}") from error
    # Written again, so that an id which is not this key's, or a second spelling, is refused.
    if vkey is None or str(vkey) != text:
        raise LedgerError("bad_vkey", f"expected a key with its own id, got {quote(text)}")
    return vkey


def sign_note(text: str, signers: Sequence[Signer]) -> bytes:
    """Sign `text`, which ends in a newline, by each of `signers`.

    Raises:
        LedgerError: codes `bad_note` and `bad_key_name`.
    """
    if not signers or len(signers) > MAX_SIGNATURES:
        raise LedgerError("bad_note", f"expected 1 to {MAX_SIGNATURES} signers, got {len(signers)}")
    _check_text(text)
    body = _encode(text)
    lines = [_line(signer, body) for signer in signers]
    return body + "\n".join(["", *lines, ""]).encode()


def parse_note(raw: bytes, *, max_bytes: int) -> UncheckedNote:
    """Split a note into text and signatures, checking neither's truth.

    Raises:
        LedgerError: codes `too_large` and `bad_note`.
    """
    if len(raw) > max_bytes:
        raise LedgerError("too_large", f"expected a note of at most {max_bytes} bytes, got {len(raw)}")
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LedgerError("bad_note", f"expected UTF-8, got another byte at {error.start}") from error
    text, blank, trailer = whole.rpartition("\n\n")
    if not blank or not trailer.endswith("\n"):
        raise LedgerError("bad_note", "expected a text, a blank line and signature lines")
    _check_text(text + "\n")
    lines = trailer[:-1].split("\n", MAX_SIGNATURES)
    if len(lines) > MAX_SIGNATURES:
        raise LedgerError("bad_note", f"expected at most {MAX_SIGNATURES} signature lines")
    return UncheckedNote(text + "\n", tuple(_read_line(line) for line in lines))


def open_note(raw: bytes, verifiers: Iterable[Verifier], *, max_bytes: int) -> Note:
    """Answer the text of a note that a known key signed; unknown signers are ignored.

    Raises:
        LedgerError: codes `too_large`, `bad_note`, `wrong_signature` (a known key's signature
            fails, whatever the others say) and `unknown_signer` (no known key signed).
    """
    return check_note(parse_note(raw, max_bytes=max_bytes), verifiers)


def check_note(note: UncheckedNote, verifiers: Iterable[Verifier]) -> Note:
    """Check the signatures of a note that was split before; else as `open_note`."""
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    body = note.text.encode()
    signers: dict[tuple[str, bytes], Verifier] = {}
    for line in note.signatures:
        verifier = known.get((line.name, line.key_id))
        if verifier is None:
            continue
        if not verifier.verifies(body, line.signature):
            raise LedgerError("wrong_signature", f"the signature by {quote(line.name)} does not fit the text")
        signers[line.name, line.key_id] = verifier
    if not signers:
        raise LedgerError("unknown_signer", "expected a signature by a known key, got none")
    return Note(note.text, tuple(signers.values()))


def check_name(name: str) -> None:
    """Refuse a key name that a signature line could not carry.

    Raises:
        LedgerError: code `bad_key_name`.
    """
    if not name or "+" in name or any(char.isspace() or ord(char) < 0x20 for char in name):
        raise LedgerError("bad_key_name", f"expected a name without spaces or plus, got {quote(name)}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise LedgerError("bad_key_name", f"expected Unicode text, got {quote(name)}") from error


def to_base64(raw: bytes) -> str:
    """Standard padded base64 (RFC 4648, section 4)."""
    return base64.b64encode(raw).decode("ascii")


def from_base64(text: str) -> bytes:
    """Read what `to_base64` wrote, and no other spelling of it.

    Raises:
        LedgerError: code `bad_base64`.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error is one; so is text outside ASCII
        raise LedgerError("bad_base64", f"expected base64, got {quote(text)}") from error
    if to_base64(raw) != text:
        raise LedgerError("bad_base64", f"expected base64 in its one spelling, got {quote(text)}")
    return raw


def _line(signer: Signer, body: bytes) -> str:
    check_name(signer.name)
    return f"{_DASH}{signer.name} {to_base64(signer.key_id + signer.sign(body))}"


def _read_line(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise LedgerError("bad_note", f"expected a signature line, got {quote(line)}")
    try:
        check_name(name)
        blob = from_base64(encoded)
    except LedgerError as error:
        raise LedgerError("bad_note", f"expected a signature line, got {quote(line)}") from error
    if len(blob) <= _KEY_ID_BYTES:
        raise LedgerError("bad_note", "expected a key id and a signature, got too few bytes")
    return Signature(name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:])


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise LedgerError("bad_note", "expected text that ends in a newline and has no control characters")


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise LedgerError("bad_note", "expected Unicode text, got a lone surrogate") from error
