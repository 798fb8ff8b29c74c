"""The tree against the published roots, and proofs against a second, naive implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.ledger.errors import LedgerError
from sojourn.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from sojourn.ledger.tiles import WIDTH, TileTree, changed_tiles, grow

ROOTS = (Path(__file__).parents[1] / "vectors" / "rfc6962" / "roots.txt").read_text().splitlines()
CLASSIC = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
LARGEST = 70
LEAVES = [leaf_hash(str(number).encode()) for number in range(70_000)]


def split(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    middle = split(len(leaves))
    return node_hash(naive_root(leaves[:middle]), naive_root(leaves[middle:]))


def naive_inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*naive_inclusion(index, leaves[:middle]), naive_root(leaves[middle:])]
    return [*naive_inclusion(index - middle, leaves[middle:]), naive_root(leaves[:middle])]


def naive_consistency(old: int, leaves: Sequence[bytes], *, known: bool = True) -> list[bytes]:
    if old == len(leaves):
        return [] if known else [naive_root(leaves)]
    middle = split(len(leaves))
    if old <= middle:
        return [*naive_consistency(old, leaves[:middle], known=known), naive_root(leaves[middle:])]
    return [*naive_consistency(old - middle, leaves[middle:], known=False), naive_root(leaves[:middle])]


class Tiles:
    """A store of tiles that counts how often it is read."""

    def __init__(self, size: int) -> None:
        self.reads = 0
        self.tiles: dict[tuple[int, int], list[bytes]] = {}
        for node in grow(Frontier(), LEAVES[:size]):
            tile = self.tiles.setdefault((node.level, node.tile), [])
            assert node.offset == len(tile)
            tile.append(node.hash)

    def read(self, level: int, index: int) -> Sequence[bytes]:
        self.reads += 1
        return self.tiles[level, index]


def refused(check: Callable[[], None]) -> bool:
    try:
        check()
    except LedgerError as error:
        return error.code in {"bad_proof", "inclusion_not_proven", "consistency_not_proven"}
    return False


@pytest.mark.parametrize("line", ROOTS)
def test_the_classic_leaves_have_the_published_roots(line: str) -> None:
    size, expected = line.split()

    found = root([leaf_hash(bytes.fromhex(leaf)) for leaf in CLASSIC[: int(size)]])

    assert found.hex() == expected


def test_every_inclusion_proof_up_to_seventy_leaves_holds_and_is_the_naive_one() -> None:
    for size in range(1, LARGEST + 1):
        leaves, tree, head = LEAVES[:size], TileTree(size, Tiles(size).read), naive_root(LEAVES[:size])
        assert root(leaves) == tree.root() == head
        for index in range(size):
            proof = tree.inclusion(index)
            assert proof == naive_inclusion(index, leaves)
            verify_inclusion(leaves[index], proof, index=index, size=size, root=head)


def test_every_consistency_proof_up_to_seventy_leaves_holds_and_is_the_naive_one() -> None:
    heads = [naive_root(LEAVES[:size]) for size in range(LARGEST + 1)]
    for size in range(1, LARGEST + 1):
        tree = TileTree(size, Tiles(size).read)
        for old in range(size + 1):
            proof = tree.consistency(old)
            assert proof == (naive_consistency(old, LEAVES[:size]) if old else [])
            verify_consistency(proof, old_size=old, old_root=heads[old], new_size=size, new_root=heads[size])


@given(st.data())
def test_a_changed_inclusion_proof_proves_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    proof, head = naive_inclusion(index, LEAVES[:size]), naive_root(LEAVES[:size])
    at = data.draw(st.integers(0, len(proof) - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda found: found != index))
    changed = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]

    for wrong in (changed, proof[:-1], proof[1:], [*proof, proof[0]], [proof[0], *proof], [*proof, b""]):
        assert refused(
            lambda wrong=wrong: verify_inclusion(  # type: ignore[misc]
                LEAVES[index], wrong, index=index, size=size, root=head
            )
        )
    assert refused(lambda: verify_inclusion(LEAVES[other], proof, index=index, size=size, root=head))
    assert refused(lambda: verify_inclusion(LEAVES[index], proof, index=other, size=size, root=head))


@given(st.data())
def test_a_changed_consistency_proof_proves_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, LARGEST))
    old = data.draw(st.integers(1, size - 1))
    proof = naive_consistency(old, LEAVES[:size])
    old_root, new_root = naive_root(LEAVES[:old]), naive_root(LEAVES[:size])
    at = data.draw(st.integers(0, len(proof) - 1))
    changed = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]

    def check(wrong: list[bytes], before: bytes, after: bytes) -> bool:
        return refused(
            lambda: verify_consistency(wrong, old_size=old, old_root=before, new_size=size, new_root=after)
        )

    for wrong in (changed, proof[:-1], [*proof, proof[0]], []):
        assert check(wrong, old_root, new_root)
    assert check(proof, new_root, new_root)
    assert check(proof, old_root, old_root)


def test_equal_sizes_with_different_roots_are_a_fork() -> None:
    assert refused(
        lambda: verify_consistency([], old_size=5, old_root=LEAVES[0], new_size=5, new_root=LEAVES[1])
    )


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 69_999]), st.data())
def test_proofs_across_tiles_hold_with_few_reads(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    tiles, head = Tiles(size), root(LEAVES[:size])

    inclusion = TileTree(size, tiles.read).inclusion(index)
    reads = tiles.reads
    consistency = TileTree(size, tiles.read).consistency(old)

    verify_inclusion(LEAVES[index], inclusion, index=index, size=size, root=head)
    verify_consistency(consistency, old_size=old, old_root=root(LEAVES[:old]), new_size=size, new_root=head)
    assert reads <= 6
    assert tiles.reads - reads <= 6


@given(st.integers(0, 1500), st.integers(0, 1500))
def test_the_frontier_survives_bytes_and_goes_on_alike(first: int, more: int) -> None:
    frontier = Frontier()
    grow(frontier, LEAVES[:first])

    revived = Frontier.from_bytes(frontier.to_bytes())
    grow(revived, LEAVES[first : first + more])

    assert revived.root() == root(LEAVES[: first + more])
    assert revived.size == first + more


@pytest.mark.parametrize("raw", [b"", b"\x00" * 7, b"\x00" * 8 + b"x", b"\x00" * 7 + b"\x01", b"\xff" * 2056])
def test_a_broken_frontier_is_refused(raw: bytes) -> None:
    with pytest.raises(LedgerError) as caught:
        Frontier.from_bytes(raw)

    assert caught.value.code == "bad_frontier"


@given(st.integers(0, 66_000), st.integers(0, 600))
def test_changed_tiles_are_those_that_new_nodes_fall_into(old: int, more: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:old] if old < 1000 else ():
        frontier.append(leaf)
    size = frontier.size

    nodes = grow(frontier, LEAVES[size : size + more])

    widths: dict[tuple[int, int], int] = {}
    for node in nodes:
        widths[node.level, node.tile] = node.offset + 1
    assert {(span.level, span.index): span.width for span in changed_tiles(size, size + more)} == widths


def test_a_short_tile_is_an_error_and_not_a_proof() -> None:
    tree = TileTree(WIDTH + 5, lambda level, index: LEAVES[:3])

    with pytest.raises(LedgerError) as caught:
        tree.inclusion(0)

    assert caught.value.code == "bad_tile"
