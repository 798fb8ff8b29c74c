"""How long one check of a guard takes: the first of a token, a later one, and its parts.

Run: python bench/guard_check.py [rounds]. Prints one JSON line; times in microseconds.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sojourn.core.proof import ath_of
from sojourn.core.revocation import Entry, Kind, Mark, Page, RevocationView
from sojourn.core.token import AccessClaims, to_json
from sojourn.guard.clock import BootClock
from sojourn.guard.verifier import Call, Rules, Verifier
from sojourn.jose import Es256Key, sign_proof

ISSUER, AUDIENCE, URL = "https://sojourn.example", "https://shop.example", "https://shop.example/stock"
ENTRIES = 10_000  # a guard in a busy hour


def main(rounds: int) -> None:
    clock, issuer, work = BootClock(), Es256Key.generate(), Es256Key.generate()
    view = RevocationView()
    verifier = Verifier(Rules(ISSUER, AUDIENCE, deaf_after=timedelta(hours=1)), view, clock)
    verifier.trust({issuer.thumbprint: issuer.public})
    entries = tuple(Entry(n, Kind.SESSION, f"ses_{n}") for n in range(ENTRIES))
    page = Page(Mark(1, ENTRIES), clock.now(), True, entries)
    view.apply(page, sent_at=clock.mono(), received_at=clock.mono())
    tokens = [_token(issuer, work, number) for number in range(rounds)]
    calls = [_call(work, token, f"{number}-a") for number, token in enumerate(tokens)]
    again = [_call(work, token, f"{number}-b") for number, token in enumerate(tokens)]
    known = verifier._verified(tokens[0])
    verifier.trust({issuer.thumbprint: issuer.public})

    def warm(_: int) -> None:
        verifier.check_hearing()
        found = verifier._verified(tokens[0])
        verifier._check_claims(found.claims)
        verifier.check_standing(found.claims)
        verifier._check_scope(calls[0], found.claims)

    figures = {
        "cold_with_proof": _time(lambda number: verifier.check(calls[number]), rounds),
        "warm_with_proof": _time(lambda number: verifier.check(again[number]), rounds),
        "warm_without_proof": _time(warm, rounds * 10),
        "standing_alone": _time(lambda _: verifier.check_standing(known.claims), rounds * 10),
    }
    print(json.dumps({"python": platform.python_version(), "machine": platform.machine(), "us": figures}))


def _token(issuer: Es256Key, work: Es256Key, number: int) -> str:
    now = datetime.now(UTC)
    until = now + timedelta(seconds=300)
    scope = frozenset({"stock.read"})
    claims = AccessClaims(
        ISSUER, "cli_w", AUDIENCE, f"t{number}", now, until, work.thumbprint, scope,
        f"ses_live{number}", 1, (), 1, ENTRIES, "t:1", "own_1", "t@1",
    )  # fmt: skip
    return issuer.sign({"typ": "at+jwt", "kid": issuer.thumbprint}, to_json(claims))


def _call(work: Es256Key, token: str, jti: str) -> Call:
    proof = sign_proof(work, "GET", URL, datetime.now(UTC), jti=jti, ath=ath_of(token))
    return Call("GET", URL, [f"DPoP {token}"], [proof], frozenset({"stock.read"}))


def _time(work: Callable[[int], object], rounds: int) -> dict[str, float]:
    taken = []
    for number in range(rounds):
        began = time.perf_counter_ns()
        work(number)
        taken.append((time.perf_counter_ns() - began) / 1000)
    return {
        "p50": round(statistics.median(taken), 2),
        "p99": round(statistics.quantiles(taken, n=100)[98], 2),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
