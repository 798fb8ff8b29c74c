"""Status lists: the draft's own vectors, hostile lists, and places that are given once."""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.errors import Invalid
from sojourn.core.session import State
from sojourn.core.status_list import BITS, SIZE, Status, read, spread, status_of, write

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "status_list").glob("*.json"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_drafts_lists_are_read_as_it_says(path: Path) -> None:
    vector = json.loads(path.read_text())

    found = [read(vector["lst"], at, bits=vector["bits"]) for at in range(len(vector["statuses"]))]

    assert found == vector["statuses"]


@given(
    st.dictionaries(st.integers(0, SIZE - 1), st.sampled_from(Status), max_size=30), st.integers(0, SIZE - 1)
)
def test_what_is_written_is_read_and_the_rest_is_valid(statuses: dict[int, Status], other: int) -> None:
    lst = write(statuses)

    assert {at: read(lst, at) for at in statuses} == statuses
    assert read(lst, other) == statuses.get(other, Status.VALID)


def test_a_list_of_the_living_is_small() -> None:
    assert len(write({})) < 64
    assert len(write(dict.fromkeys(range(0, SIZE, 64), Status.INVALID))) < 4096


def test_every_place_of_a_list_is_given_once_and_in_no_plain_order() -> None:
    places = [spread(b"secret", serial) for serial in range(SIZE)]

    assert sorted(places) == list(range(SIZE))
    assert places[:64] != [spread(b"another", serial) for serial in range(64)]
    assert sum(abs(a - b) == 1 for a, b in itertools.pairwise(places)) < 32


def _packed(octets: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(octets)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("lst", "index", "bits"),
    [
        ("!", 0, 2),
        ("eNrbuRgAAhcBXQ", 16, 1),
        ("eNrbuRgAAhcBXQ", -1, 1),
        ("eNrbuRgAAhcBXQ", 0, 3),
        ("AAAA", 0, 2),
        (_packed(b"\0" * (1 << 22)), 0, 2),
    ],
    ids=["no base64", "behind its end", "before its beginning", "three bits", "no zlib", "a bomb"],
)
def test_a_list_that_cannot_be_believed_says_nothing(lst: str, index: int, bits: int) -> None:
    with pytest.raises(Invalid):
        read(lst, index, bits=bits)


def test_only_exactly_active_is_valid() -> None:
    assert {state: status_of(state) for state in State} == {
        State.REQUESTED: Status.INVALID,
        State.APPROVED: Status.INVALID,
        State.ACTIVE: Status.VALID,
        State.SUSPENDED: Status.SUSPENDED,
        State.REVOKING: Status.INVALID,
        State.ENDED: Status.INVALID,
    }
    assert BITS == 2
