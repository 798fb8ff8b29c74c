"""An id has one spelling, and keeps the order in which ids were made."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.errors import Invalid
from sojourn.core.ids import from_uuid, to_uuid


@given(st.uuids(), st.uuids())
def test_ids_sort_as_their_uuids_do(one: UUID, other: UUID) -> None:
    first, second = from_uuid("ses", one), from_uuid("ses", other)

    assert (first < second) == (one.bytes < other.bytes)
    assert to_uuid("ses", first) == one


@given(st.uuids(), st.integers(4, 29), st.characters(codec="utf-8"))
def test_no_other_spelling_names_the_same_thing(value: UUID, at: int, other: str) -> None:
    text = from_uuid("ses", value)
    altered = text[:at] + other + text[at + 1 :]
    if altered == text:
        return

    try:
        read = to_uuid("ses", altered)
    except Invalid:
        return

    assert read != value


@pytest.mark.parametrize(
    "text", ["", "ses_", "ses", "lea_" + "0" * 26, "ses_" + "0" * 27, "SES_" + "0" * 26, "ses_" + "v" * 26]
)
def test_what_is_no_session_id_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        to_uuid("ses", text)

    assert refusal.value.code == "bad_id"
