"""Facts become leaves of a Merkle tree, and the tree's head is signed.

What is stored is whole or growing tiles of hashes (C2SP tlog-tiles) and the newest
checkpoint, in one commit; a crash in between means that the same facts are sealed again.
"""

from __future__ import annotations

from typing import Final

from sojourn.core.errors import Conflict
from sojourn.ledger.checkpoint import Checkpoint
from sojourn.ledger.merkle import HASH_BYTES, Frontier, leaf_hash, node_hash
from sojourn.ledger.tiles import HEIGHT, WIDTH, TileNode, grow
from sojourn.ports.clock import Clock
from sojourn.ports.keys import NoteSigner
from sojourn.ports.store import Store

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
        """How many facts were sealed; 0 when another sealer was first, or nothing is new."""
        sealed = await self._store.checkpoint()
        size = sealed[0] if sealed else 0
        entries = await self._store.journal(size, limit=BATCH)
        if not entries:
            return 0
        frontier = await self._frontier(size)
        nodes = grow(frontier, (leaf_hash(entry.leaf) for entry in entries))
        tiles = await self._extend(nodes)
        checkpoint = Checkpoint(self._origin, frontier.size, frontier.root())
        try:
            await self._store.seal(frontier.size, tiles, self._signer.sign_note(checkpoint.text()))
        except Conflict:
            return 0
        return len(entries)

    async def _frontier(self, size: int) -> Frontier:
        """The right edge of the tree of `size` leaves: one complete subtree for each set bit."""
        spans = [_span(size, height) for height in range(size.bit_length()) if size >> height & 1]
        tiles = await self._store.tiles({(level, first // WIDTH) for level, first, _ in spans})
        edge = [_fold(tiles[level, first // WIDTH], first % WIDTH, count) for level, first, count in spans]
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
    hashes = [tile[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(first, first + count)]
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
