"""What was copied from a guard's requests, shown there again, at another process, after a restart."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from sojourn.core.binding import of_certificate
from sojourn.core.errors import SojournError
from sojourn.core.proof import ath_of
from sojourn.guard.nonces import Nonces
from sojourn.guard.verifier import Call, Rules, Verifier
from sojourn.jose import Es256Key, sign_proof
from tests.guard.bench import ISSUER, ISSUER_KEY, URL, WORK, Bench, token_of
from tests.guard.world import AUDIENCE

OWN, THIEFS = of_certificate(b"own"), of_certificate(b"thief's")
THIEF = Es256Key.generate()
PLACES = ("there", "another process", "after a restart")
AGAIN_EVERY = 50  # attempts; then what is stolen is fresh again, and the process is another


class OneGuard(Bench):
    """A guard with nonces of its own."""

    def __init__(self) -> None:
        super().__init__()
        rules = Rules(ISSUER, AUDIENCE, nonces=Nonces.own())
        self.verifier = Verifier(rules, self.view, self.clock)
        self.verifier.trust({ISSUER_KEY.thumbprint: ISSUER_KEY.public})

    def prove(self, token: str, key: Es256Key = WORK.key) -> str:
        nonces = self.verifier.rules.nonces
        assert nonces is not None
        WORK.count += 1
        now, jti = self.clock.now(), f"t{WORK.count}"
        nonce = nonces.good(now)[0]
        return sign_proof(key, "GET", URL, now, jti=jti, ath=ath_of(token), nonce=nonce)

    def honest(self) -> list[Call]:
        """Requests that it lets in: by proofs, and by a certificate."""
        token, bound = token_of(self), token_of(self, key=OWN, token_id="c")
        calls = [self.call(token, self.prove(token)) for _ in range(3)]
        calls.append(self.call(bound, authorization=[f"Bearer {bound}"], proofs=[], certificate=OWN))
        for call in calls:
            self.verifier.check(call)
        return calls


def bent(call: Call, at: OneGuard, dice: random.Random) -> Call:
    """What a thief makes of a copied request; all but its own certificate and key is stolen."""
    token = call.authorization[0].partition(" ")[2]
    if not call.proofs:
        return replace(call, certificate=dice.choice([THIEFS, None]))
    match dice.randrange(4):
        case 0:
            return replace(call, proofs=[at.prove(token, THIEF)])
        case 1:
            return replace(call, authorization=[f"Bearer {token}"], proofs=[], certificate=THIEFS)
        case 2:
            return replace(call, url=URL + "/other")
        case _:
            return call  # byte for byte


@pytest.mark.parametrize("times", [100, pytest.param(3_500, marks=pytest.mark.slow)])
def test_no_copied_request_passes_a_guard_with_nonces_anywhere(times: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, heard = random.Random(seed), {place: Counter[str]() for place in PLACES}
    first = at = OneGuard()
    stolen = first.honest()
    for place in PLACES:
        for number in range(times):
            if number % AGAIN_EVERY == 0:
                stolen = first.honest()
                at = first if place == "there" else OneGuard()
            with pytest.raises(SojournError) as refused:
                at.verifier.check(bent(dice.choice(stolen), at, dice))
            heard[place][refused.value.code] += 1

    print(f"0 of {sum(codes.total() for codes in heard.values())} accepted: {heard}")
    assert all(codes.total() == times for codes in heard.values())
    assert heard["there"]["replayed_proof"] and heard["another process"]["use_dpop_nonce"]
