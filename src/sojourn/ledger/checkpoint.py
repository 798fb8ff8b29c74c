"""Signed tree heads: origin, size and root of the log, as a C2SP tlog-checkpoint.

It knows the three lines; whether two checkpoints agree is `merkle`'s to prove.
Source: c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sojourn.ledger.errors import LedgerError, quote
from sojourn.ledger.merkle import HASH_BYTES, MAX_SIZE
from sojourn.ledger.note import Signer, Verifier, from_base64, open_note, sign_note, to_base64

MAX_BYTES: Final = 64 * 1024
"""Room for the lines and sixteen witnesses with post-quantum signatures."""

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One tree head of the log named `origin`."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.origin or any("\n" in line or not line for line in (self.origin, *self.extensions)):
            raise LedgerError("bad_checkpoint", "expected an origin and extensions of one line each")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_BYTES:
            raise LedgerError("bad_checkpoint", "expected a size within 2^63-1 and a root of 32 bytes")

    def text(self) -> str:
        """The text of the note."""
        return "\n".join([self.origin, str(self.size), to_base64(self.root), *self.extensions, ""])


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint note.

    Raises:
        LedgerError: code `bad_checkpoint`.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not _SIZE.fullmatch(lines[1]):
        raise LedgerError("bad_checkpoint", f"expected origin, size and root, got {quote(text)}")
    try:
        root = from_base64(lines[2])
    except LedgerError as error:
        raise LedgerError("bad_checkpoint", f"expected a base64 root, got {quote(lines[2])}") from error
    return Checkpoint(lines[0], int(lines[1]), root, tuple(lines[3:-1]))


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[Signer]) -> bytes:
    """Sign a tree head; the caller has made sure that it extends the last one signed.

    Raises:
        LedgerError: codes `bad_note` and `bad_key_name`.
    """
    return sign_note(checkpoint.text(), signers)


def open_checkpoint(raw: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """Read a checkpoint that a known key signed.

    Raises:
        LedgerError: those of `open_note`, and `bad_checkpoint`.
    """
    return parse_checkpoint(open_note(raw, verifiers, max_bytes=MAX_BYTES).text)
