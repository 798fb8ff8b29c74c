"""RFC 8785 by its published vectors, and strict reading by what it must refuse."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.ledger.canonical import MAX_INTEGER, canonical, parse_canonical
from sojourn.ledger.errors import LedgerError

VECTORS = Path(__file__).parents[1] / "vectors" / "rfc8785"
NUMBERS = [line.split() for line in (VECTORS / "numbers.txt").read_text().splitlines()]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(-1e15, 1e15).filter(lambda number: not number.is_integer())
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@pytest.mark.parametrize(("bits", "written"), NUMBERS)
def test_a_number_is_written_as_the_standard_says(bits: str, written: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))

    assert canonical(number) == written.encode()


def test_the_sample_of_the_standard_comes_out_byte_for_byte() -> None:
    value = json.loads((VECTORS / "sample.input.json").read_text(encoding="utf-8"))

    assert canonical(value) == (VECTORS / "sample.output.json").read_bytes()


def test_members_are_sorted_by_utf16_code_units() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]

    written = canonical(dict.fromkeys(names, 0))

    assert list(json.loads(written)) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@given(VALUES)
def test_what_is_written_is_read_back_equal(value: object) -> None:
    assert parse_canonical(canonical(value), max_bytes=1 << 20) == value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (math.nan, "number_out_of_range"),
        (-math.inf, "number_out_of_range"),
        (MAX_INTEGER + 1, "number_out_of_range"),
        ("\ud800", "lone_surrogate"),
        ({"\udc00": 1}, "lone_surrogate"),
        ({1: 2}, "not_json"),
        ([b"bytes"], "not_json"),
    ],
)
def test_a_value_without_a_canonical_form_is_refused(value: object, code: str) -> None:
    with pytest.raises(LedgerError) as caught:
        canonical(value)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a":1,"a":1}', "duplicate_key"),
        (b'{"b":1,"a":1}', "not_canonical"),
        (b'{"a": 1}', "not_canonical"),
        (b"1.0", "not_canonical"),
        (b"-0", "not_canonical"),
        (b"1\n", "not_canonical"),
        (b'"\\u0041"', "not_canonical"),
        (b'"\\ud800"', "lone_surrogate"),
        (b"NaN", "number_out_of_range"),
        (b"1e999", "number_out_of_range"),
        (b"9" * 9000, "number_out_of_range"),
        (b"9007199254740992", "number_out_of_range"),
        (b"\xff", "not_utf8"),
        (b"\xef\xbb\xbf1", "not_json"),
        (b"", "not_json"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b"[" * 15000, "too_deep"),
        (b'{"a":' * 3000, "too_deep"),
        (b" " * 20001, "too_large"),
    ],
)
def test_bytes_that_are_not_canonical_are_refused(raw: bytes, code: str) -> None:
    with pytest.raises(LedgerError) as caught:
        parse_canonical(raw, max_bytes=20_000)

    assert caught.value.code == code


def test_brackets_in_text_are_not_depth() -> None:
    value = ["[" * 100, '"' + "[" * 100]

    assert parse_canonical(canonical(value), max_bytes=1000) == value


def test_sixty_four_levels_are_read() -> None:
    raw = b"[" * 64 + b"]" * 64

    assert canonical(parse_canonical(raw, max_bytes=1000)) == raw
