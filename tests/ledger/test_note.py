"""Signed notes and checkpoints: the published examples, and what must be refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.ledger.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from sojourn.ledger.errors import LedgerError
from sojourn.ledger.merkle import EMPTY_ROOT
from sojourn.ledger.note import open_note, parse_note, parse_vkey, sign_note
from sojourn.ledger.note_keys import Ed25519Signer, Ed25519Verifier

VECTORS = Path(__file__).parents[1] / "vectors" / "c2sp"
NOTE = (VECTORS / "signed-note.txt").read_bytes()
VKEY = (VECTORS / "signed-note.vkey").read_text().strip()
ALICE = Ed25519Signer("a.example/log", b"a" * 32)
BOB = Ed25519Signer("b.example/witness", b"b" * 32)


def trust(*signers: Ed25519Signer) -> list[Ed25519Verifier]:
    return [Ed25519Verifier.from_vkey(signer.vkey) for signer in signers]


def code_of(raw: bytes, trusted: list[Ed25519Verifier]) -> str:
    with pytest.raises(LedgerError) as caught:
        open_note(raw, trusted, max_bytes=10_000)
    return caught.value.code


def test_the_published_note_opens_under_its_key() -> None:
    note = open_note(NOTE, [Ed25519Verifier.from_vkey(VKEY)], max_bytes=1000)

    assert note.text == "This is an example message.\n"


def test_the_published_checkpoint_is_read_and_written_alike() -> None:
    text = parse_note((VECTORS / "checkpoint.txt").read_bytes(), max_bytes=1000).text

    checkpoint = parse_checkpoint(text)

    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == text


def test_unknown_signers_are_ignored_beside_a_known_one() -> None:
    raw = sign_note("hello\n\nworld\n", [ALICE, BOB])

    note = open_note(raw, trust(BOB), max_bytes=1000)

    assert note.text == "hello\n\nworld\n"
    assert [signer.name for signer in note.signers] == [BOB.name]


def test_a_known_signer_that_fails_fails_the_note() -> None:
    other = sign_note("other\n", [ALICE]).split(b"\n\n")[1]
    raw = sign_note("hello\n", [BOB]) + other

    assert code_of(raw, trust(ALICE, BOB)) == "wrong_signature"
    assert open_note(raw, trust(BOB), max_bytes=1000).text == "hello\n"


def test_a_note_nobody_known_signed_is_refused() -> None:
    assert code_of(sign_note("hello\n", [ALICE]), trust(BOB)) == "unknown_signer"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello\n",
        NOTE[:-1],
        NOTE.replace(b"This", b"Th\x1bs"),
        NOTE.replace(b"This", b"Th\ts"),
        NOTE.replace(b"This", b"Th\xffs"),
        NOTE.replace(b"\xe2\x80\x94 ", b"- "),
        NOTE.replace(b"aQM=", b"aQN="),
        NOTE.replace(b"aQM=", b"aQM"),
        NOTE.replace(b"example.com/foo ", b"example.com/fo+o "),
        NOTE + b"\n",
        b"hello\n\n\xe2\x80\x94 a AAAA\n",
    ],
)
def test_a_badly_framed_note_is_refused(raw: bytes) -> None:
    assert code_of(raw, [Ed25519Verifier.from_vkey(VKEY)]) == "bad_note"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a+b", "a+530d903a+", VKEY.replace("530d", "530e"), VKEY.upper(), VKEY + "=", "\ud800" + VKEY],
)
def test_a_key_that_is_not_its_own_spelling_is_refused(text: str) -> None:
    with pytest.raises(LedgerError) as caught:
        parse_vkey(text)

    assert caught.value.code == "bad_vkey"


def test_a_checkpoint_opens_under_the_key_that_signed_it() -> None:
    checkpoint = Checkpoint("a.example/log", 0, EMPTY_ROOT, ("extension",))

    assert open_checkpoint(sign_checkpoint(checkpoint, [ALICE, BOB]), trust(ALICE)) == checkpoint


@pytest.mark.parametrize(
    "text",
    ["", "o\n1\n", "o\n01\nAAAA\n", "o\n-1\nAAAA\n", "o\n1\nAAAA\n", "o\n\u0661\nAAAA\n", "\n1\nAAAA\n"],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(LedgerError) as caught:
        parse_checkpoint(text)

    assert caught.value.code == "bad_checkpoint"
