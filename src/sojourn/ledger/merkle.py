"""The RFC 6962 Merkle tree: hashes, the growing right edge, and the checking of proofs.

It knows hashes only: what a leaf holds, and where nodes are stored, is decided elsewhere.
RFC 9162 describes the same tree and the verification used here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sojourn.ledger.errors import LedgerError

HASH_BYTES: Final = 32
MAX_SIZE: Final = 2**63 - 1
EMPTY_ROOT: Final = sha256(b"").digest()

_SIZE: Final = struct.Struct(">Q")


def leaf_hash(leaf: bytes) -> bytes:
    """Hash a leaf: SHA-256 of 0x00 and its bytes (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node: SHA-256 of 0x01 and its two children (RFC 6962, section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The Merkle tree head over `leaf_hashes`, in order."""
    frontier = Frontier()
    for hashed in leaf_hashes:
        frontier.append(hashed)
    return frontier.root()


class Frontier:
    """The right edge of a growing tree: one hash for each set bit of its size.

    All that is needed to append and to know the root; at most 63 hashes.
    """

    __slots__ = ("_edge", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._edge: list[bytes] = []

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    def append(self, hashed: bytes) -> list[bytes]:
        """Add one leaf hash; answer the subtree roots it completed, from height 0 upwards."""
        completed = [hashed]
        remaining = self._size
        while remaining & 1:
            hashed = node_hash(self._edge.pop(), hashed)
            completed.append(hashed)
            remaining >>= 1
        self._edge.append(hashed)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """The Merkle tree head at this size."""
        if not self._edge:
            return EMPTY_ROOT
        hashed = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            hashed = node_hash(left, hashed)
        return hashed

    def copy(self) -> Frontier:
        """An independent frontier of the same tree."""
        twin = Frontier()
        twin._size, twin._edge = self._size, list(self._edge)
        return twin

    def to_bytes(self) -> bytes:
        """The size as eight big-endian bytes, then the hashes from left to right."""
        return _SIZE.pack(self._size) + b"".join(self._edge)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Frontier:
        """Read what `to_bytes` wrote.

        Raises:
            LedgerError: code `bad_frontier`.
        """
        size = _SIZE.unpack_from(raw)[0] if len(raw) >= _SIZE.size else -1
        if not 0 <= size <= MAX_SIZE or len(raw) != _SIZE.size + HASH_BYTES * size.bit_count():
            raise LedgerError("bad_frontier", f"expected a size and one hash a set bit, got {len(raw)} bytes")
        frontier = cls()
        frontier._size = size
        frontier._edge = [raw[at : at + HASH_BYTES] for at in range(_SIZE.size, len(raw), HASH_BYTES)]
        return frontier


def verify_inclusion(hashed: bytes, proof: Sequence[bytes], *, index: int, size: int, root: bytes) -> None:
    """Prove that leaf `index` of the tree of `size` leaves under `root` has the hash `hashed`.

    RFC 9162, section 2.1.3.2.

    Raises:
        LedgerError: codes `bad_proof` (wrong shape) and `inclusion_not_proven` (another root).
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise LedgerError("bad_proof", f"leaf {index} is not in a tree of {size}")
    _check_hashes([hashed, *proof])
    node, last = index, size - 1
    for sibling in proof:
        if last == 0:
            raise LedgerError("bad_proof", "the inclusion proof is longer than the path to the root")
        if node & 1 or node == last:
            hashed = node_hash(sibling, hashed)
            node, last = _skip_ragged(node, last)
        else:
            hashed = node_hash(hashed, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise LedgerError("bad_proof", "the inclusion proof ends before the root")
    if hashed != root:
        raise LedgerError("inclusion_not_proven", f"the proof of leaf {index} leads to another root")


def verify_consistency(
    proof: Sequence[bytes], *, old_size: int, old_root: bytes, new_size: int, new_root: bytes
) -> None:
    """Prove that the tree of `new_size` leaves begins with the tree of `old_size` leaves.

    RFC 9162, section 2.1.4.2; the empty tree begins every tree, with an empty proof.

    Raises:
        LedgerError: codes `bad_proof` (wrong shape) and `consistency_not_proven` (other roots).
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise LedgerError("bad_proof", f"a tree of {new_size} cannot extend one of {old_size}")
    _check_hashes([*proof, old_root, new_root])
    if old_size in (0, new_size):
        _check_trivial(proof, same=old_root == (new_root if old_size else EMPTY_ROOT))
        return
    if not proof:
        raise LedgerError("bad_proof", "expected a consistency proof, got an empty one")
    # A complete old tree is itself the first hash, so its proof does not repeat it.
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if _climb(path, old_size - 1, new_size - 1) != (old_root, new_root):
        raise LedgerError("consistency_not_proven", "the consistency proof leads to other roots")


def _climb(path: list[bytes], node: int, last: int) -> tuple[bytes, bytes]:
    """The old and the new root to which `path` leads."""
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise LedgerError("bad_proof", "the consistency proof is longer than the path to the root")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _skip_ragged(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise LedgerError("bad_proof", "the consistency proof ends before the root")
    return old, new


def _check_trivial(proof: Sequence[bytes], *, same: bool) -> None:
    if proof:
        raise LedgerError("bad_proof", "expected an empty consistency proof")
    if not same:
        raise LedgerError("consistency_not_proven", "the old root is not the root of that tree")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(hashed) != HASH_BYTES for hashed in hashes):
        raise LedgerError("bad_proof", f"expected hashes of {HASH_BYTES} bytes")


def _skip_ragged(node: int, last: int) -> tuple[int, int]:
    """Step over the levels where the right edge has no sibling."""
    while not node & 1 and node:
        node, last = node >> 1, last >> 1
    return node, last
