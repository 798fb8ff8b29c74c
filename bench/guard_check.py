"""How long one check of a guard takes: the first of a token, a later one, and its parts.

Run `python bench/guard_check.py [--rounds N]`; it writes `bench/results/guard_check.json` and
`guard_check.md`. Warm without a proof is the look-up alone: it is what a proof costs more than.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.harness import Figure, publish, said, spread  # noqa: E402

from sojourn.core.proof import ath_of  # noqa: E402
from sojourn.core.revocation import Entry, Kind, Mark, Page, RevocationView  # noqa: E402
from sojourn.core.token import AccessClaims, to_json  # noqa: E402
from sojourn.guard.clock import BootClock  # noqa: E402
from sojourn.guard.verifier import Call, Rules, Verifier  # noqa: E402
from sojourn.jose import Es256Key, sign_proof  # noqa: E402

ISSUER, AUDIENCE, URL = "https://sojourn.example", "https://shop.example", "https://shop.example/stock"
ENTRIES = 10_000  # a guard in a busy hour


def measure(rounds: int) -> list[Figure]:
    """Every figure, in microseconds."""
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

    checks = {
        "the first of a token, with its proof": (lambda number: verifier.check(calls[number]), rounds),
        "a later one, with its proof": (lambda number: verifier.check(again[number]), rounds),
        "a later one, without the proof": (warm, rounds * 10),
        "standing alone": (lambda _: verifier.check_standing(known.claims), rounds * 10),
    }
    return [said({"what": what, **_time(work, times)}) for what, (work, times) in checks.items()]


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


def _time(work: Callable[[int], object], rounds: int) -> Figure:
    taken = []
    for number in range(rounds):
        began = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - began)
    return spread(taken, "us")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    figures = measure(parser.parse_args().rounds)
    told = f"In process, one thread; {ENTRIES} entries in the feed."
    publish("guard_check", "One check of a guard", figures, told=told)
