"""A charter as people write it: read exactly, or refused with the name of what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.adapters.opened_store import open_memory
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.core.charter import Charter
from sojourn.core.errors import Invalid
from sojourn.core.ids import CHARTER, CharterId
from sojourn.core.scope import AudienceGrant, TargetGrant
from sojourn.services._charter_document import read_charter
from sojourn.services.apply_charter import ApplyCharter
from tests.rig.store import START, an_id

FULL: dict[str, Any] = {
    "name": "nightly",
    "owner": "team-shop",
    "clients": ["runner", "job", "runner"],
    "grants": {
        "db": {"target": "shop", "template": "readonly"},
        "api": {"audience": "https://stock.example", "actions": ["read", "list", "read"]},
    },
    "duration": {"default": "90s", "longest": "2h"},
    "beat": {"every": "5s", "missed_after": "20s", "suspend_first": True},
    "renewals": {"times": 3, "by": "10m"},
}
LEAST: dict[str, Any] = {"name": "n", "owner": "o", "clients": ["c"]}


def read(document: Mapping[str, object]) -> Charter:
    return read_charter(document, CharterId(an_id(CHARTER, 1)), number=4, by="ada", now=START)


def changed(path: str, value: object) -> dict[str, Any]:
    """The full document with one member changed; a dotted path leads into it."""
    document = {name: dict(one) if isinstance(one, dict) else one for name, one in FULL.items()}
    where, _, member = path.rpartition(".")
    (document[where] if where else document)[member] = value
    return document


def test_every_member_is_read() -> None:
    charter = read(FULL)

    assert (charter.label, charter.owner, charter.clients) == ("nightly@4", "team-shop", ("job", "runner"))
    assert charter.grants.targets == (TargetGrant("db", "shop", "readonly"),)
    assert charter.grants.audiences == (AudienceGrant("api", "https://stock.example", ("list", "read")),)
    assert (charter.default_duration, charter.longest) == (timedelta(seconds=90), timedelta(hours=2))
    assert (charter.beat.every, charter.beat.missed_after) == (timedelta(seconds=5), timedelta(seconds=20))
    assert charter.beat.suspend_first and (charter.renewals.times, charter.renewals.by.seconds) == (3, 600)
    assert (charter.applied_by, charter.applied_at) == ("ada", START)


def test_what_is_left_out_is_bounded() -> None:
    charter = read(LEAST)

    assert (charter.default_duration, charter.longest) == (timedelta(minutes=2), timedelta(minutes=30))
    assert (charter.beat.every.seconds, charter.beat.missed_after.seconds) == (10, 30)
    assert not charter.beat.suspend_first and charter.renewals.times == 0
    assert not charter.offered()


WRONG: list[tuple[str, object]] = [
    ("name", None), ("name", ""), ("name", "Nightly"), ("name", "-n"),
    ("name", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"), ("name", "a/b"),
    ("name", ["n"]), ("owner", ""), ("owner", 1), ("clients", []), ("clients", "runner"), ("clients", [1]),
    ("clients", None), ("grants", []), ("grants", "db"), ("grants.DB", {"target": "t", "template": "x"}),
    ("grants.db", None), ("grants.db", {"target": "shop"}), ("grants.db", {"audience": "a"}),
    ("grants.db", {"target": "shop", "template": "x", "audience": "a"}),
    ("grants.db", {"target": 1, "template": "x"}), ("grants.db", {"target": "", "template": "x"}),
    ("grants.api", {"audience": "a", "actions": []}),
    ("grants.api", {"audience": "a", "actions": ["two words"]}),
    ("grants.api", {"audience": "a", "actions": [""]}),
    ("grants.api", {"audience": "a", "actions": "read"}),
    ("grants.api", {"audience": "a", "actions": [None]}), ("duration.default", "3h"),
    ("duration.longest", "25h"), ("duration.longest", "0s"), ("duration.default", 90),
    ("duration.default", "-5m"), ("duration.default", "1.5h"), ("duration.default", "5 m"),
    ("duration.default", "٥m"), ("duration.default", "9999999999s"), ("duration.most", "1h"),
    ("duration", "2m"), ("beat", 5), ("beat.missed_after", "9s"), ("beat.every", "0s"),
    ("beat.suspend_first", "yes"), ("beat.suspend_first", 1), ("beat.never", True), ("renewals.times", -1),
    ("renewals.times", 1001), ("renewals.times", True), ("renewals.times", 1.0), ("renewals.by", "25h"),
    ("renewals.by", None), ("renewals.each", 1), ("policy", "none"), ("version", 1),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[f"{path}={value}"[:60] for path, value in WRONG])
def test_what_is_wrong_is_refused_by_its_name(path: str, value: object) -> None:
    with pytest.raises(Invalid) as refusal:
        read(changed(path, value))

    assert refusal.value.code == "bad_charter"
    told, (where, _, member) = refusal.value.message, path.rpartition(".")
    inner = ("target", "actions") if where == "grants" else ()  # of a grant its member is named
    assert any(f"`{name}`" in told for name in (path, member, where, *inner) if name), told


def test_an_unknown_member_is_not_repeated_at_length() -> None:
    with pytest.raises(Invalid) as refusal:
        read({**FULL, "x" * 5000: 1})

    assert len(refusal.value.message) < 200


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*FULL, "duration.default", "beat.every", "renewals.times", "grants.db"]), _JSON)
def test_whatever_is_written_is_read_within_bounds_or_refused(path: str, value: object) -> None:
    try:
        charter = read(changed(path, value))
    except Invalid:
        return
    assert timedelta(0) < charter.default_duration <= charter.longest <= timedelta(hours=24)
    assert charter.beat.missed_after >= 2 * charter.beat.every > timedelta(0)
    assert 0 <= charter.renewals.times <= 1000 and charter.clients and charter.owner


@pytest.mark.anyio
async def test_versions_count_up_and_the_same_document_makes_none() -> None:
    store = await open_memory()
    apply = ApplyCharter(store, SystemClock(), SystemEntropy())

    first = await apply(FULL, by="ada")
    same = await apply({**FULL, "clients": ["job", "runner"]}, by="bob")
    second = await apply(changed("renewals.times", 4), by="bob")
    back = await apply(FULL, by="ada")

    assert [(one.number, new) for one, new in (first, same, second, back)] == [
        (1, True),
        (1, False),
        (2, True),
        (3, True),
    ]
    assert same[0].applied_by == "ada"
    one, newest = await store.charter("nightly", 1), await store.charter("nightly")
    assert one == first[0] and newest == back[0]
    await store.close()


@pytest.mark.anyio
async def test_versions_applied_at_once_get_numbers_of_their_own() -> None:
    store = await open_memory()
    apply = ApplyCharter(store, SystemClock(), SystemEntropy())

    made = await asyncio.gather(*(apply(changed("renewals.times", n), by="ada") for n in range(8)))

    assert sorted(charter.number for charter, _ in made) == list(range(1, 9))
    assert len(await store.charters()) == 8 and await store.replay_differences() == []
    await store.close()
