"""Proofs from stored nodes, in the geometry of C2SP tlog-tiles: height 8, 256 hashes wide.

Tile `n` of level `l` holds the roots of the complete subtrees `256*n` to `256*n + 255` of
height `8*l`. Where tiles are kept is the caller's affair: it hands in a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sojourn.ledger.errors import LedgerError
from sojourn.ledger.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE, Frontier, node_hash

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT

ReadTile: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""`(level, index)` to the tile's hashes from the left, as many as are known."""


@dataclass(frozen=True, slots=True)
class TileNode:
    """One stored hash: `index` counts the nodes of its tile level from the left of the tree."""

    level: int
    index: int
    hash: bytes

    @property
    def tile(self) -> int:
        """The tile that holds it."""
        return self.index // WIDTH

    @property
    def offset(self) -> int:
        """Its place within that tile."""
        return self.index % WIDTH


@dataclass(frozen=True, slots=True)
class TileSpan:
    """A tile that holds `width` hashes at some size of the tree."""

    level: int
    index: int
    width: int


def grow(frontier: Frontier, leaf_hashes: Iterable[bytes]) -> list[TileNode]:
    """Append to `frontier`; answer every node a store must now keep, leaves included.

    A node is answered once, when its subtree becomes complete, and never changes again.
    """
    nodes: list[TileNode] = []
    for leaf in leaf_hashes:
        index = frontier.size
        completed = frontier.append(leaf)
        nodes += (
            TileNode(height // HEIGHT, index >> height, completed[height])
            for height in range(0, len(completed), HEIGHT)
        )
    return nodes


def changed_tiles(old_size: int, new_size: int) -> Iterator[TileSpan]:
    """The tiles, with their new widths, that growing from `old_size` to `new_size` touches."""
    level = 0
    while new_size:
        if new_size > old_size:
            for index in range(old_size // WIDTH, (new_size - 1) // WIDTH + 1):
                yield TileSpan(level, index, min(WIDTH, new_size - index * WIDTH))
        level, old_size, new_size = level + 1, old_size // WIDTH, new_size // WIDTH


class TileTree:
    """A tree of `size` leaves, read tile by tile; each tile is read and folded once.

    One object serves many proofs of one size; it remembers every tile it met, so it should
    live as long as one request.
    """

    def __init__(self, size: int, read_tile: ReadTile) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise LedgerError("bad_size", f"expected a tree size within 2^63-1, got {size}")
        self._size = size
        self._read_tile = read_tile
        self._tiles: dict[tuple[int, int], list[list[bytes]]] = {}

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    def root(self) -> bytes:
        """The Merkle tree head.

        Raises:
            LedgerError: code `bad_tile`; a tile is shorter than the tree needs.
        """
        return self._range(0, self._size) if self._size else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """The proof that leaf `index` is in this tree (RFC 6962, section 2.1.1).

        Raises:
            LedgerError: codes `bad_size` (no such leaf) and `bad_tile`.
        """
        if not 0 <= index < self._size:
            raise LedgerError("bad_size", f"expected a leaf below {self._size}, got {index}")
        proof: list[bytes] = []
        low, high = 0, self._size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
        return proof[::-1]

    def consistency(self, old_size: int) -> list[bytes]:
        """The proof that this tree begins with the one of `old_size` leaves (RFC 6962, section 2.1.2).

        Raises:
            LedgerError: codes `bad_size` (larger than this tree) and `bad_tile`.
        """
        if not 0 <= old_size <= self._size:
            raise LedgerError("bad_size", f"expected an old size up to {self._size}, got {old_size}")
        if old_size in (0, self._size):
            return []
        proof: list[bytes] = []
        low, high = 0, self._size
        while high != old_size:
            middle = low + _split(high - low)
            if old_size <= middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
        # The verifier holds the old root, so it is repeated only when it is not this subtree.
        if low:
            proof.append(self._range(low, high))
        return proof[::-1]

    def _range(self, low: int, high: int) -> bytes:
        """The root over leaves `low` to `high`; `low` is a multiple of the largest part."""
        count = high - low
        if count.bit_count() == 1:
            height = count.bit_length() - 1
            return self._node(height, low >> height)
        middle = low + _split(count)
        return node_hash(self._range(low, middle), self._range(middle, high))

    def _node(self, height: int, index: int) -> bytes:
        level, within = divmod(height, HEIGHT)
        tile, offset = divmod(index << within, WIDTH)
        rows = self._rows(level, tile)
        return rows[within][offset >> within]

    def _rows(self, level: int, tile: int) -> list[list[bytes]]:
        """All complete nodes inside one tile, a row a height."""
        rows = self._tiles.get((level, tile))
        if rows is None:
            rows = [self._read(level, tile)]
            for _ in range(HEIGHT - 1):
                below = rows[-1]
                rows.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
            self._tiles[level, tile] = rows
        return rows

    def _read(self, level: int, tile: int) -> list[bytes]:
        width = min(WIDTH, (self._size >> (HEIGHT * level)) - tile * WIDTH)
        hashes = list(self._read_tile(level, tile)[:width])
        if len(hashes) != width or any(len(hashed) != HASH_BYTES for hashed in hashes):
            raise LedgerError("bad_tile", f"expected {width} hashes in tile {tile} of level {level}")
        return hashes


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)
