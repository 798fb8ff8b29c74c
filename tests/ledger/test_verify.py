"""The offline verifier against honest bundles, forgers, a dishonest server and noise."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.ledger.bundle import HEADER, content_bytes, seal_content
from sojourn.ledger.canonical import JsonObject, JsonValue, parse_canonical
from sojourn.ledger.errors import LedgerError
from sojourn.ledger.leaf import LeafRecord, leaf_bytes, read_leaf
from sojourn.ledger.note import parse_note, sign_note
from sojourn.ledger.note_keys import Ed25519Signer
from sojourn.ledger.shape import as_object
from sojourn.ledger.verdict import Result
from sojourn.ledger.verify import verify
from tests.ledger.log import (
    SERVER,
    SESSION,
    START,
    STRANGER,
    USUAL,
    bundle_of,
    destroyed,
    ended,
    log_of,
    planned,
    stuck,
)

LOG = log_of(USUAL)
BUNDLE = bundle_of(LOG)
PINNED = {SERVER.vkey}


def content_of(raw: bytes) -> JsonObject:
    return as_object(
        parse_canonical(content_bytes(parse_note(raw, max_bytes=1 << 20).text), max_bytes=1 << 20)
    )


def changed(change: Callable[[JsonObject], object], signer: Ed25519Signer = SERVER) -> bytes:
    content = content_of(BUNDLE)
    change(content)
    return seal_content(content, signer)


def items(content: JsonObject, name: str) -> list[JsonValue]:
    found = content[name]
    assert isinstance(found, list)
    return found


def drop(content: JsonObject, at: int) -> None:
    del items(content, "facts")[at]
    del items(content, "proofs")[at]


def swap(content: JsonObject, at: int) -> None:
    for name in ("facts", "proofs"):
        found = items(content, name)
        found[at - 1], found[at] = found[at], found[at - 1]


def double(content: JsonObject, at: int) -> None:
    for name in ("facts", "proofs"):
        items(content, name).insert(at, items(content, name)[at])


def test_an_honest_bundle_is_verified_under_the_pinned_key() -> None:
    verdict = verify(BUNDLE, PINNED)

    assert (verdict.result, verdict.failed, verdict.ended) == (Result.VERIFIED, None, True)
    assert verdict.session == SESSION
    assert [check.number for check in verdict.checks] == list(range(1, 19))
    assert verdict.lines()[-1] == "verified"


def test_without_a_pinned_key_the_signer_is_unknown() -> None:
    assert verify(BUNDLE).result is Result.SELF_CONSISTENT
    assert verify(bundle_of(LOG, signer=STRANGER)).result is Result.SELF_CONSISTENT


def test_a_bundle_by_a_stranger_fails_under_the_pinned_key() -> None:
    assert verify(bundle_of(LOG, signer=STRANGER), PINNED).failed == "signature"


def test_an_unreadable_pinned_key_is_a_failed_check() -> None:
    assert verify(BUNDLE, ["nonsense", SERVER.vkey]).failed == "pinned_keys"


def test_no_bundle_with_a_changed_byte_is_verified() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    for at in range(len(BUNDLE)):
        raw = bytearray(BUNDLE)
        raw[at] ^= 1 << chance.randrange(8)
        verdict = verify(bytes(raw), PINNED)
        assert verdict.result is Result.FAILED, f"byte {at}, seed {seed}"


def test_no_bundle_with_a_missing_byte_is_verified() -> None:
    for at in range(len(BUNDLE)):
        assert verify(BUNDLE[:at] + BUNDLE[at + 1 :], PINNED).result is Result.FAILED


@pytest.mark.parametrize("tamper", [drop, swap, double])
@pytest.mark.parametrize("at", range(len(LOG.facts)))
def test_a_forger_with_another_key_fails_at_the_signature(
    tamper: Callable[[JsonObject, int], None], at: int
) -> None:
    def forge(content: JsonObject) -> None:
        tamper(content, at)
        content["vkey"] = STRANGER.vkey

    raw = changed(forge, STRANGER)

    assert verify(raw, PINNED).failed == "signature"
    assert verify(raw).failed == "checkpoint"


@pytest.mark.parametrize("tamper", [drop, swap, double])
@pytest.mark.parametrize("at", range(1, len(LOG.facts) - 1))
def test_a_server_that_moves_facts_fails_at_the_numbering(
    tamper: Callable[[JsonObject, int], None], at: int
) -> None:
    assert verify(changed(lambda content: tamper(content, at)), PINNED).failed == "numbering"


def test_a_server_that_drops_the_end_can_only_claim_an_open_session() -> None:
    verdict = verify(bundle_of(LOG, LOG.facts[:-1]), PINNED)

    assert (verdict.result, verdict.ended) == (Result.VERIFIED, False)
    assert any(line.startswith("session still open at ") for line in verdict.lines())


def test_a_server_that_renumbers_fails_at_the_count_and_the_proofs() -> None:
    facts = [*LOG.facts[:2], *(replace(fact, number=fact.number - 1) for fact in LOG.facts[3:])]

    verdict = verify(bundle_of(LOG, facts), PINNED)

    assert {check.name for check in verdict.checks if not check.ok} == {"count", "inclusion"}


@pytest.mark.parametrize(
    ("kinds", "failed"),
    [
        (USUAL[1:-1], "beginning"),
        ([*USUAL[:-1], ended(5)], "count"),
        ([*USUAL[:-1], ended(6), ended(7)], "count"),
        ([*USUAL[:-1], ("session.ended", {"count": True})], "count"),
        ([USUAL[0], planned("lea_1"), ended(3)], "outcomes"),
        ([USUAL[0], planned("lea_1"), destroyed("lea_1", 1), ended(4)], "destruction_times"),
    ],
)
def test_facts_that_do_not_show_an_orderly_end_fail(kinds: list[tuple[str, JsonObject]], failed: str) -> None:
    assert failed in {check.name for check in verify(bundle_of(log_of(kinds)), PINNED).checks if not check.ok}


def test_facts_of_another_session_fail() -> None:
    facts = [*LOG.facts[:2], LOG.journal[4], *LOG.facts[3:]]

    names = {check.name for check in verify(bundle_of(LOG, facts), PINNED).checks if not check.ok}

    assert names == {"one_session"}


def test_time_that_runs_backwards_fails() -> None:
    log = log_of(USUAL)
    log.facts[3] = replace(log.facts[3], at=START)
    log.journal[log.facts[3].index] = log.facts[3]

    assert verify(bundle_of(log), PINNED).failed == "times"


def test_facts_out_of_journal_order_fail() -> None:
    log = log_of(USUAL)
    first, second = log.facts[1], log.facts[2]
    log.facts[1], log.facts[2] = replace(first, index=second.index), replace(second, index=first.index)
    for fact in log.facts[1:3]:
        log.journal[fact.index] = fact

    assert verify(bundle_of(log), PINNED).failed == "journal_order"


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (lambda content: items(content, "credentials").clear(), "credentials"),
        (lambda content: content.update(extra=1), "format"),
        (lambda content: content.pop("made_at"), "format"),
        (lambda content: content.update(vkey=STRANGER.vkey), "key_named"),
        (lambda content: content.update(origin="other.example/log"), "key_named"),
        (lambda content: content.update(checkpoint=LOG.checkpoint(STRANGER).decode()), "checkpoint"),
        (
            lambda content: content.update(checkpoint=LOG.checkpoint(origin="o.example").decode()),
            "checkpoint",
        ),
        (lambda content: content.update(checkpoint=log_of(USUAL[:2]).checkpoint().decode()), "inclusion"),
        (lambda content: items(content, "proofs").reverse(), "inclusion"),
    ],
)
def test_a_server_that_changes_one_part_fails(change: Callable[[JsonObject], object], failed: str) -> None:
    assert verify(changed(change), PINNED).failed == failed


def test_json_that_is_not_canonical_fails_though_signed() -> None:
    text = parse_note(BUNDLE, max_bytes=1 << 20).text.replace('"session":', '"session" :')

    assert verify(sign_note(text, [SERVER]), PINNED).failed == "canonical"


def test_a_second_signature_line_is_refused() -> None:
    text = parse_note(BUNDLE, max_bytes=1 << 20).text

    assert verify(sign_note(text, [SERVER, STRANGER]), PINNED).failed == "framing"


def test_what_is_left_over_is_told() -> None:
    kinds = [
        USUAL[0],
        planned("lea_1"),
        planned("lea_2"),
        USUAL[3],
        destroyed("lea_1", 9),
        stuck("lea_2"),
        ended(7),
    ]

    verdict = verify(bundle_of(log_of(kinds)), PINNED)

    assert verdict.result is Result.VERIFIED
    assert "residual of lea_2: orders-db, without an end, owner team-orders" in verdict.lines()


def test_a_hostile_name_cannot_drive_the_terminal() -> None:
    kinds = [USUAL[0], planned("\x1b[2J\x9b\n"), USUAL[3], stuck("\x1b[2J\x9b\n"), ended(5)]

    verdict = verify(bundle_of(log_of(kinds)), PINNED)

    assert verdict.result is Result.VERIFIED
    assert all(line.isprintable() for line in verdict.lines())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.binary(max_size=400))
@example(HEADER.encode())
@example(HEADER.encode() + b"[" * 5000 + b"\n\n\xe2\x80\x94 a AAAAAAAA\n")
def test_noise_is_failed_and_never_an_exception(raw: bytes) -> None:
    assert verify(raw, PINNED).result is Result.FAILED
    assert verify(raw).result is Result.FAILED


@given(st.sampled_from(sorted(content_of(BUNDLE))), JSON)
def test_a_signed_bundle_with_a_wild_member_never_raises(name: str, value: JsonValue) -> None:
    try:
        raw = changed(lambda content: content.update({name: value}))
    except LedgerError:
        return  # the value has no canonical form, so no such bundle exists

    assert verify(raw, PINNED).lines()
    assert verify(raw).lines()


@given(st.integers(0, 5), st.sampled_from(["v", "index", "at", "kind", "session", "number", "body"]), JSON)
def test_a_signed_bundle_with_a_wild_fact_is_never_verified(at: int, name: str, value: JsonValue) -> None:
    fact = LOG.facts[at].to_json()
    try:
        raw = changed(lambda content: as_object(items(content, "facts")[at]).update({name: value}))
    except LedgerError:
        return

    assert fact[name] == value or verify(raw, PINNED).result is Result.FAILED


@pytest.mark.parametrize("fact", LOG.journal)
def test_a_leaf_is_read_back_equal(fact: LeafRecord) -> None:
    assert read_leaf(leaf_bytes(fact)) == fact


def test_a_leaf_beyond_the_limit_is_refused() -> None:
    fact = replace(LOG.facts[0], at=START + timedelta(1), body={"text": "x" * 65_535})

    with pytest.raises(LedgerError) as caught:
        leaf_bytes(fact)

    assert caught.value.code == "leaf_too_large"
