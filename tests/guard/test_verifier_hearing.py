"""What a guard refuses for what it heard, and for what it did not hear."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from sojourn.core.errors import SojournError
from sojourn.core.revocation import KEEP, Entry, Kind, RevocationView
from sojourn.guard.verifier import MOST_TOKENS, Rules, Verifier
from sojourn.jose import (
    open_client_assertion,
    sign_proof,
    verify_access_token,
    verify_client_assertion,
    verify_proof,
)
from tests.guard.bench import (
    HEADER,
    ISSUER,
    ISSUER_KEY,
    OTHER,
    START,
    URL,
    WORK,
    Bench,
    Hands,
    b64,
    forge,
    payload,
    token_of,
)
from tests.guard.world import AUDIENCE


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (Entry(1, Kind.SESSION, "ses_1"), "session_over"),
        (Entry(1, Kind.SESSION, "ses_1", 2), "session_over"),
        (Entry(1, Kind.SESSION, "ses_1", 1), "ok"),
        (Entry(1, Kind.SESSION, "ses_0"), "session_over"),
        (Entry(1, Kind.SESSION, "ses_0", 9), "ok"),
        (Entry(1, Kind.SESSION, "ses_2"), "ok"),
        (Entry(1, Kind.CLIENT, "cli_w"), "session_over"),
        (Entry(1, Kind.OWNER, "own_1"), "session_over"),
        (Entry(1, Kind.CHARTER, "demo@1"), "session_over"),
        (Entry(1, Kind.KEY, WORK.key.thumbprint), "session_over"),
        (Entry(1, Kind.OWNER, "own_2"), "ok"),
        (Entry(1, Kind.SIGNER, ISSUER_KEY.thumbprint), "key_revoked"),
        (Entry(1, Kind.SIGNER, OTHER.thumbprint), "ok"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.kind}-{value.min_gen}",
)
def test_an_entry_refuses_exactly_what_it_names(bench: Bench, entry: Entry, code: str, warm: bool) -> None:
    token = token_of(bench, ancestors=("ses_0",))
    if warm:
        assert bench.code(token) == "ok"

    bench.hear(entry, n=1, snapshot=False)

    assert bench.code(token) == code


def test_a_token_authorised_after_a_kill_by_selector_lives(bench: Bench) -> None:
    bench.hear(Entry(5, Kind.OWNER, "own_1"), n=5)

    assert bench.code(token_of(bench, mark=5)) == "ok"
    assert bench.code(token_of(bench, mark=4)) == "session_over"


def test_a_revoked_signer_is_refused_whatever_mark_its_thief_writes_and_for_good(bench: Bench) -> None:
    bench.hear(Entry(3, Kind.SIGNER, ISSUER_KEY.thumbprint), n=3)
    forged = token_of(bench, mark=2**40, epoch=2)
    assert bench.code(forged) == "key_revoked"

    bench.clock.at += KEEP.total_seconds() + 20
    bench.hear(epoch=2)  # a snapshot of a later epoch that does not name it
    bench.verifier.trust({ISSUER_KEY.thumbprint: ISSUER_KEY.public})  # and a late answer that does

    assert bench.code(token_of(bench, epoch=2)) == "key_revoked"


def test_an_end_is_never_undone_by_a_later_entry(bench: Bench) -> None:
    bench.hear(Entry(1, Kind.SESSION, "ses_1"), n=1)
    bench.hear(Entry(2, Kind.SESSION, "ses_1", 1), n=2, snapshot=False)
    bench.hear(n=3)  # not even by a snapshot that leaves it out

    assert bench.code(token_of(bench)) == "session_over"


def test_a_token_of_an_older_epoch_is_refused_and_of_a_newer_one_not_yet_judged(bench: Bench) -> None:
    bench.hear(epoch=2)

    assert bench.code(token_of(bench, epoch=1)) == "old_epoch"
    assert bench.code(token_of(bench, epoch=2)) == "ok"
    assert bench.code(token_of(bench, epoch=3)) == "deaf"


def test_a_rollback_silences_the_guard_until_the_mark_is_reached_again(bench: Bench) -> None:
    bench.hear(n=7)

    with pytest.raises(SojournError) as rollback:
        bench.hear(n=6)

    assert rollback.value.code == "rollback_detected"
    assert bench.code(token_of(bench)) == "deaf"
    bench.hear(n=7)
    assert bench.code(token_of(bench)) == "ok"


def test_silence_makes_the_guard_deaf_a_little_before_the_lease_ends(bench: Bench) -> None:
    token = token_of(bench)

    bench.clock.at += 4.94
    assert bench.code(token) == "ok"
    bench.clock.at += 0.02
    assert bench.code(token) == "deaf"


def test_a_guard_that_never_heard_is_deaf() -> None:
    clock = Hands()
    verifier = Verifier(Rules(ISSUER, AUDIENCE), RevocationView(), clock)

    with pytest.raises(SojournError) as refusal:
        verifier.check_hearing()

    assert refusal.value.code == "deaf"


@pytest.mark.parametrize("seconds", [-3600, -6, 6, 3600])
def test_a_wall_clock_that_steps_away_refuses_everybody(bench: Bench, seconds: int) -> None:
    token = token_of(bench)

    bench.clock.off = timedelta(seconds=seconds)

    assert bench.code(token) == "clock_skew"


def test_a_remembered_token_still_expires(bench: Bench) -> None:
    token = token_of(bench)
    assert bench.code(token) == "ok"

    bench.clock.at += 301
    bench.hear()

    assert bench.code(token) == "expired"


def test_withdrawing_a_key_ends_remembered_tokens_too(bench: Bench) -> None:
    token = token_of(bench)
    assert bench.code(token) == "ok"

    bench.verifier.trust({OTHER.thumbprint: OTHER.public})

    assert bench.code(token) == "unknown_kid"


def test_entries_are_forgotten_when_no_token_can_match_them(bench: Bench) -> None:
    bench.hear(Entry(1, Kind.SESSION, "ses_1"), n=1)

    bench.clock.at += 609
    bench.hear(n=1, snapshot=False)
    assert len(bench.view) == 1
    bench.clock.at += 12
    bench.hear(n=1, snapshot=False)

    assert len(bench.view) == 0


def test_the_memory_of_tokens_is_bounded() -> None:
    assert MOST_TOKENS <= 10_000


def test_hostile_bytes_never_cause_anything_but_a_refusal() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    good = [forge(HEADER, payload()), sign_proof(WORK.key, "GET", URL, START, jti="1")]
    keys = {ISSUER_KEY.thumbprint: ISSUER_KEY.public}

    codes = set[str]()

    for _ in range(1500):
        text = _mangle(dice, dice.choice(good))
        for judge in (
            lambda it: verify_access_token(it, keys),
            lambda it: verify_proof(it).read(),
            lambda it: verify_client_assertion(
                open_client_assertion(it), WORK.key.public, ISSUER, client_id="cli_w", now=START
            ),
        ):
            try:
                judge(text)
            except SojournError as error:
                codes.add(error.code)

    assert codes <= {"bad_token", "unknown_kid", "bad_proof", "bad_assertion"}


def _mangle(dice: random.Random, text: str) -> str:
    match dice.randrange(5):
        case 0:
            at = dice.randrange(len(text))
            return text[:at] + chr(dice.randrange(0x11000)) + text[at + 1 :]
        case 1:
            return text[: dice.randrange(len(text))]
        case 2:
            return ".".join(dice.sample(text.split("."), 3))
        case 3:
            parts = text.split(".")
            parts[dice.randrange(3)] = b64(dice.randbytes(dice.randrange(40)))
            return ".".join(parts)
        case _:
            parts = text.split(".")
            values: list[object] = [
                None,
                [],
                {},
                "",
                -1,
                1e308,
                "\ud800",
                {"typ": []},
                {"alg": {}, "jwk": [1]},
            ]
            parts[dice.randrange(2)] = b64(dice.choice(values))
            return ".".join(parts)
