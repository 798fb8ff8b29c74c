"""Facts become leaves of a Merkle tree, and the tree's head is signed.

What is stored is whole or growing tiles of hashes (C2SP tlog-tiles) and the newest
checkpoint, in one commit; a crash in between means that the same facts are sealed again. A
log whose tiles or leaves are not those of its last checkpoint is never extended: to sign it
would vouch for what somebody altered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sojourn.core.errors import Conflict, Unavailable
from sojourn.ledger.checkpoint import Checkpoint, open_checkpoint
from sojourn.ledger.errors import LedgerError
from sojourn.ledger.merkle import HASH_BYTES, Frontier, leaf_hash, node_hash
from sojourn.ledger.note_keys import Ed25519Verifier
from sojourn.ledger.tiles import HEIGHT, WIDTH, TileNode, grow
from sojourn.ports.clock import Clock
from sojourn.ports.keys import NoteSigner
from sojourn.ports.store import JournalEntry, Store

BATCH: Final = 4096
"""Facts under one checkpoint at most: bounds memory, and how long a commit takes."""

Tiles = dict[tuple[int, int], bytes]


class SealJournal:
    """Extends the log by what was committed since the last checkpoint."""

    def __init__(self, store: Store, clock: Clock, note_signer: NoteSigner, origin: str) -> None:
        self._store = store
        self._clock = clock
        self._signer = note_signer
        self._origin = origin

    async def run_once(self) -> int:
        """How many facts were sealed; 0 when another sealer was first, or nothing is new.

        Raises:
            Unavailable: code `log_broken`; what is stored is not what was signed.
        """
        sealed = await self._store.checkpoint()
        size = sealed[0] if sealed else 0
        entries = await self._unsealed(size)
        if not entries:
            return 0
        frontier = await self._frontier(size)
        if sealed is not None:
            self._require_signed(frontier, sealed[1])
        nodes = grow(frontier, (leaf_hash(entry.leaf) for entry in entries))
        tiles = await self._extend(nodes)
        checkpoint = Checkpoint(self._origin, frontier.size, frontier.root())
        try:
            await self._store.seal(frontier.size, tiles, self._signer.sign_note(checkpoint.text()))
        except Conflict:
            return 0
        return len(entries)

    async def _unsealed(self, size: int) -> Sequence[JournalEntry]:
        """The facts after the first `size`, of which the last must still be the one that was signed."""
        entries = await self._store.journal(max(size - 1, 0), limit=BATCH + 1)
        for place, entry in enumerate(entries, max(size - 1, 0)):
            if entry.index != place:
                raise _broken(f"expected fact {place}, got fact {entry.index}")
        if not size:
            return entries
        level, tile = 0, (size - 1) // WIDTH
        tiles = await self._store.tiles({(level, tile)})
        signed = _fold(tiles.get((level, tile), b""), (size - 1) % WIDTH, 1)
        if not entries or leaf_hash(entries[0].leaf) != signed:
            raise _broken(f"fact {size - 1} is not the one that was signed")
        return entries[1:]

    def _require_signed(self, frontier: Frontier, note: str) -> None:
        """The last checkpoint is ours, whichever key signed it, and the stored tiles have its root."""
        try:
            signed = open_checkpoint(note.encode(), map(Ed25519Verifier.from_vkey, self._signer.vkeys))
        except LedgerError as error:
            raise _broken(f"the last checkpoint cannot be believed: {error.message}") from error
        if signed != Checkpoint(self._origin, frontier.size, frontier.root()):
            raise _broken(f"the tiles are not those of the checkpoint of size {frontier.size}")

    async def _frontier(self, size: int) -> Frontier:
        """The right edge of the tree of `size` leaves: one complete subtree for each set bit."""
        spans = [_span(size, height) for height in range(size.bit_length()) if size >> height & 1]
        tiles = await self._store.tiles({(level, first // WIDTH) for level, first, _ in spans})
        edge = [
            _fold(tiles.get((level, first // WIDTH), b""), first % WIDTH, count)
            for level, first, count in spans
        ]
        return Frontier.from_bytes(size.to_bytes(8, "big") + b"".join(reversed(edge)))

    async def _extend(self, nodes: list[TileNode]) -> Tiles:
        known = await self._store.tiles({(node.level, node.tile) for node in nodes})
        tiles: Tiles = {}
        for node in nodes:
            key = (node.level, node.tile)
            so_far = tiles.get(key, known.get(key, b""))
            tiles[key] = so_far[: node.offset * HASH_BYTES] + node.hash
        return tiles


def _span(size: int, height: int) -> tuple[int, int, int]:
    """Where the subtree of `height` at the right edge lies: tile level, first hash, how many."""
    level, inner = divmod(height, HEIGHT)
    return level, (size >> (height + 1)) << (inner + 1), 1 << inner


def _fold(tile: bytes, first: int, count: int) -> bytes:
    if len(tile) < (first + count) * HASH_BYTES:
        raise _broken(f"expected a tile of at least {first + count} hashes, got {len(tile)} bytes")
    hashes = [tile[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(first, first + count)]
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def _broken(why: str) -> Unavailable:
    return Unavailable("log_broken", f"the log is not extended: {why}")
