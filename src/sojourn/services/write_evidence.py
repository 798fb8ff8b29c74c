"""The bundle of one session: its facts, their places in the signed log, and who signed.

It is written under the newest checkpoint; a fact that no checkpoint covers yet is waited
for, since a bundle without it would hide something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sojourn.core.errors import NotFound, Unavailable
from sojourn.core.ids import SessionId
from sojourn.ledger.bundle import MAX_BUNDLE_BYTES, Seal, build
from sojourn.ledger.leaf import LeafRecord, read_leaf
from sojourn.ledger.merkle import HASH_BYTES
from sojourn.ledger.note import parse_note, parse_vkey
from sojourn.ledger.tiles import WIDTH, TileTree
from sojourn.ports.clock import Clock
from sojourn.ports.keys import NoteSigner
from sojourn.ports.store import JournalEntry, Store

WAIT_FOR_SEAL_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05
_RIGHTMOST_LEVELS: Final = 8  # 256^8 leaves are more than there will ever be


class WriteEvidence:
    """Writes signed bundles."""

    def __init__(self, store: Store, clock: Clock, note_signer: NoteSigner) -> None:
        self._store = store
        self._clock = clock
        self._signer = note_signer

    async def __call__(self, session: SessionId) -> str:
        """The bundle of `session`, as a signed note.

        Raises:
            NotFound: code `unknown_session`.
            Unavailable: code `not_sealed`; the newest facts are not under a checkpoint yet.
        """
        entries = await self._store.session_journal(session)
        if not entries:
            raise NotFound("unknown_session", f"there is no session `{session[:40]}`")
        size, checkpoint = await self._covering(entries[-1].index)
        proofs = await self._prove([entry.index for entry in entries], size)
        if not _signed_by(checkpoint, self._signer.vkey):
            raise Unavailable("not_sealed", "the key was rotated a moment ago")
        facts = [_record(entry) for entry in entries]
        seal = Seal(_NoteKey(self._signer), self._signer.vkey)
        bundle = build(facts, proofs, checkpoint.encode(), seal=seal, made_at=self._clock.now())
        return bundle.decode()

    async def _covering(self, index: int) -> tuple[int, str]:
        deadline = self._clock.monotonic() + WAIT_FOR_SEAL_S
        while True:
            sealed = await self._store.checkpoint()
            # A bundle speaks with one key: after a rotation the next checkpoint is waited for.
            if sealed is not None and sealed[0] > index and _signed_by(sealed[1], self._signer.vkey):
                return sealed
            if self._clock.monotonic() >= deadline:
                raise Unavailable("not_sealed", "the newest facts are not under a checkpoint yet")
            await self._clock.sleep(_LOOK_EVERY_S)

    async def _prove(self, indexes: Sequence[int], size: int) -> list[list[bytes]]:
        keys = {key for index in indexes for key in _tiles_for(index, size)}
        tiles = await self._store.tiles(keys)

        def read(level: int, tile: int) -> list[bytes]:
            raw = tiles.get((level, tile), b"")
            return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]

        tree = TileTree(size, read)
        return [tree.inclusion(index) for index in indexes]


class _NoteKey:
    """A note signer as the ledger's key: one signature at a time."""

    def __init__(self, signer: NoteSigner) -> None:
        self._signer = signer
        self._key = parse_vkey(signer.vkey)

    @property
    def name(self) -> str:
        return self._key.name

    @property
    def key_id(self) -> bytes:
        return self._key.key_id

    def sign(self, text: bytes) -> bytes:
        note = self._signer.sign_note(text.decode()).encode()
        return parse_note(note, max_bytes=MAX_BUNDLE_BYTES).signatures[-1].signature


def _signed_by(checkpoint: str, vkey: str) -> bool:
    note, key = parse_note(checkpoint.encode(), max_bytes=MAX_BUNDLE_BYTES), parse_vkey(vkey)
    return any((line.name, line.key_id) == (key.name, key.key_id) for line in note.signatures)


def _tiles_for(index: int, size: int) -> set[tuple[int, int]]:
    """Every tile an inclusion proof of `index` may touch: those above it, and the right edge."""
    keys: set[tuple[int, int]] = set()
    at, last = index, size - 1
    for level in range(_RIGHTMOST_LEVELS):
        at, last = at // WIDTH, last // WIDTH
        keys |= {(level, at), (level, last)}
        if last == 0:
            return keys
    return keys


def _record(entry: JournalEntry) -> LeafRecord:
    return read_leaf(entry.leaf)
