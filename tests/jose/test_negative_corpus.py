"""Over a thousand tokens and proofs that must be refused, shown to every surface that takes one."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.jose.corpus import KINDS, Surfaces, negatives

pytestmark = pytest.mark.anyio

# Where each kind belongs, and what its refusal may say there.
AT_HOME = {
    "access-token": ("guard, token", {
        "bad_token", "unknown_kid", "expired", "wrong_audience", "session_over", "old_epoch", "deaf",
        "wrong_key", "insufficient_scope", "key_revoked", "no_token",
    }),
    "client-token": ("api, token", {
        "bad_token", "wrong_key", "client_removed", "missing_token", "too_large",
    }),
    "proof": ("guard, proof", {"bad_proof", "wrong_key"}),
    "assertion": ("token endpoint, assertion", {"invalid_client", "invalid_request"}),
    "foreign-token": ("foreign token", {"bad_token", "unknown_kid", "expired", "wrong_audience"}),
}  # fmt: skip
# A refusal for the reason in the name, where the reason has a code of its own.
EXACTLY = {
    "access-token": {
        "expired": "expired", "expires-now": "expired", "aud-longer": "wrong_audience",
        "kid-sql": "unknown_kid", "kid-path": "unknown_kid", "kid-url": "unknown_kid",
        "kid-revoked": "bad_token", "signed-by-a-revoked-key": "key_revoked",
        "signed-by-a-key-of-another-purpose": "unknown_kid", "cnf-of-another-key": "wrong_key",
        "of-a-session-that-is-over": "session_over", "child-of-a-session-that-is-over": "session_over",
        "without-the-scope": "insufficient_scope", "mark-of-an-old-epoch": "old_epoch",
        "mark-of-a-later-epoch": "deaf", "alg-none-without-signature": "bad_token",
        "hs256-with-public-pem-as-secret": "bad_token", "crit-b64": "bad_token",
    },
    "client-token": {
        "cnf-of-another-key": "wrong_key", "of-a-stranger": "client_removed", "expired": "bad_token",
        "a-sessions-token": "bad_token",
    },
    "proof": {
        "by-another-key-than-the-tokens": "wrong_key", "jwk-private": "bad_proof",
        "ath-of-another-token": "bad_proof", "iat-61-seconds-old": "bad_proof",
        "iat-11-seconds-ahead": "bad_proof",
    },
    "foreign-token": {
        "expired": "expired", "aud-longer": "wrong_audience", "kid-missing": "bad_token",
        "kid-sql": "unknown_kid",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def surfaces() -> Surfaces:
    return Surfaces()


def test_there_are_hundreds_of_each_kind() -> None:
    found = Counter(one.kind for one in negatives())

    assert min(found[kind] for kind in KINDS) >= 100 and found.total() >= 200


@pytest.mark.parametrize("kind", KINDS)
async def test_every_one_is_refused_at_home_for_its_reason(surfaces: Surfaces, kind: str) -> None:
    name, codes = AT_HOME[kind]
    surface, exactly = surfaces.all()[name], EXACTLY.get(kind, {})
    wrong: list[tuple[str, str]] = []

    for one in negatives(kind):
        code = await surface(one.compact)
        if code not in ({exactly[one.why]} if one.why in exactly else codes):
            wrong.append((one.why, code))

    assert wrong == []
    assert exactly.keys() <= {one.why for one in negatives(kind)}


@pytest.mark.parametrize("surface", list(Surfaces().all()))
async def test_no_surface_lets_any_of_them_in(surfaces: Surfaces, surface: str) -> None:
    ask = surfaces.all()[surface]

    let_in = [(one.kind, one.why) for one in negatives() if await ask(one.compact) == "ok"]

    assert let_in == []


@pytest.mark.timed
async def test_a_refusal_takes_no_longer_than_twenty_milliseconds(surfaces: Surfaces) -> None:
    took: list[float] = []
    for kind in KINDS:
        ask = surfaces.all()[AT_HOME[kind][0]]
        for one in negatives(kind):
            began = time.perf_counter()
            await ask(one.compact)
            took.append(time.perf_counter() - began)

    took.sort()
    print(f"{len(took)} refusals: p50 {took[len(took) // 2] * 1000:.2f} ms, worst {took[-1] * 1000:.2f} ms")
    assert took[len(took) * 99 // 100] <= 0.020
