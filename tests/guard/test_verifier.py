"""What a guard refuses, by name: tokens, proofs and headers."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sojourn.core.binding import of_certificate
from sojourn.core.errors import SojournError
from sojourn.core.proof import ath_of
from sojourn.guard.replay import SeenProofs
from tests.guard.bench import (
    HEADER,
    ISSUER,
    ISSUER_KEY,
    OTHER,
    URL,
    WORK,
    Bench,
    b64,
    forge,
    payload,
    token_of,
)
from tests.guard.world import AUDIENCE, BASE, Workload


def test_a_good_token_with_a_good_proof_is_accepted(bench: Bench) -> None:
    token = token_of(bench)

    access = bench.verifier.check(bench.call(token))

    assert (access.session, access.subject, access.task) == ("ses_1", "cli_w", "demo:1")


BAD_TOKENS: dict[str, tuple[str, str]] = {
    "alg none": (f"{b64({**HEADER, 'alg': 'none'})}.{b64(payload())}.", "bad_token"),
    "alg none, with a signature": (forge({**HEADER, "alg": "none"}, payload()), "bad_token"),
    "alg HS256": (forge({**HEADER, "alg": "HS256"}, payload()), "bad_token"),
    "alg RS256": (forge({**HEADER, "alg": "RS256"}, payload()), "bad_token"),
    "alg ES384": (forge({**HEADER, "alg": "ES384"}, payload()), "bad_token"),
    "alg in lower case": (forge({**HEADER, "alg": "es256"}, payload()), "bad_token"),
    "alg missing": (forge({"typ": "at+jwt", "kid": ISSUER_KEY.thumbprint}, payload()), "bad_token"),
    "alg a list": (forge({**HEADER, "alg": ["ES256"]}, payload()), "bad_token"),
    "typ JWT": (forge({**HEADER, "typ": "JWT"}, payload()), "bad_token"),
    "typ missing": (forge({"alg": "ES256", "kid": ISSUER_KEY.thumbprint}, payload()), "bad_token"),
    "typ of a proof": (forge({**HEADER, "typ": "dpop+jwt"}, payload()), "bad_token"),
    "typ of a secevent": (forge({**HEADER, "typ": "secevent+jwt"}, payload()), "bad_token"),
    "kid missing": (forge({"typ": "at+jwt", "alg": "ES256"}, payload()), "bad_token"),
    "kid a number": (forge({**HEADER, "kid": 1}, payload()), "bad_token"),
    "kid unknown": (forge({**HEADER, "kid": "other"}, payload()), "unknown_kid"),
    "kid a path": (forge({**HEADER, "kid": "../../dev/null"}, payload()), "unknown_kid"),
    "kid a query": (forge({**HEADER, "kid": "x' or '1'='1"}, payload()), "unknown_kid"),
    "jku and another key": (forge({**HEADER, "jku": "http://evil/"}, payload(), WORK.key), "bad_token"),
    "jwk and its key": (forge({**HEADER, "jwk": dict(WORK.key.jwk)}, payload(), WORK.key), "bad_token"),
    "x5u and another key": (forge({**HEADER, "x5u": "http://evil/"}, payload(), WORK.key), "bad_token"),
    "crit": (forge({**HEADER, "crit": ["exp"]}, payload()), "bad_token"),
    "crit empty": (forge({**HEADER, "crit": []}, payload()), "bad_token"),
    "b64 false": (forge({**HEADER, "b64": False}, payload()), "bad_token"),
    "another key under our kid": (forge(HEADER, payload(), WORK.key), "bad_token"),
    "payload a list": (forge(HEADER, []), "bad_token"),
    "payload not JSON": (forge(HEADER, b"{"), "bad_token"),
    "payload with NaN": (forge(HEADER, b'{"exp":NaN}'), "bad_token"),
    "payload not UTF-8": (forge(HEADER, b'{"a":"\xff"}'), "bad_token"),
    "payload nested deep": (forge(HEADER, b"[" * 3000 + b"]" * 3000), "bad_token"),
    "payload with a huge number": (forge(HEADER, b'{"exp":' + b"9" * 5000 + b"}"), "bad_token"),
    "a claim named twice": (forge(HEADER, json.dumps(payload())[:-1].encode() + b',"sid":"x"}'), "bad_token"),
    "header named twice": (
        forge(json.dumps(HEADER)[:-1].encode() + b',"alg":"ES256"}', payload()),
        "bad_token",
    ),
    "four parts": (forge(HEADER, payload()) + ".x", "bad_token"),
    "five parts, a JWE": ("a.b.c.d.e", "bad_token"),
    "one part": ("opaque", "bad_token"),
    "JSON serialization": ('{"payload":"e30","signatures":[]}', "bad_token"),
    "padding": (forge(HEADER, payload()) + "=", "bad_token"),
    "a line break in the middle": (forge(HEADER, payload()).replace(".", ".\n", 1), "bad_token"),
    "signature cut short": (forge(HEADER, payload())[:-4], "bad_token"),
    "signature empty": (forge(HEADER, payload()).rpartition(".")[0] + ".", "bad_token"),
    "signature of zeros": (forge(HEADER, payload()).rpartition(".")[0] + "." + b64(bytes(64)), "bad_token"),
    "too long": ("a" * 9000, "bad_token"),
    "not ASCII": ("é.é.é", "bad_token"),
    "aud a list": (forge(HEADER, payload(aud=[AUDIENCE])), "bad_token"),
    "aud another": (forge(HEADER, payload(aud="https://other.example")), "wrong_audience"),
    "aud with more behind it": (forge(HEADER, payload(aud=AUDIENCE + ".evil")), "wrong_audience"),
    "iss another": (forge(HEADER, payload(iss="https://evil.example")), "bad_token"),
    "iss a prefix": (forge(HEADER, payload(iss=ISSUER[:-3])), "bad_token"),
    "iss a list": (forge(HEADER, payload(iss=[ISSUER])), "bad_token"),
    "exp past": (forge(HEADER, payload(exp=1)), "expired"),
    "exp a string": (forge(HEADER, payload(exp="9999999999")), "bad_token"),
    "exp a fraction": (forge(HEADER, payload(exp=9999999999.5)), "bad_token"),
    "exp beyond the calendar": (forge(HEADER, payload(exp=2**52)), "bad_token"),
    "exp negative": (forge(HEADER, payload(exp=-1)), "bad_token"),
    "iat in the future": (forge(HEADER, payload(iat=4102444800, exp=4102444900)), "bad_token"),
    "gen true": (forge(HEADER, payload(gen=True)), "bad_token"),
    "mark a number": (forge(HEADER, payload(mark=7)), "bad_token"),
    "nine ancestors": (forge(HEADER, payload(anc=["ses_x"] * 9)), "bad_token"),
    "ancestor a number": (forge(HEADER, payload(anc=[1])), "bad_token"),
    **{
        f"claim {name} missing": (forge(HEADER, payload(**{name: None})), "bad_token")
        for name in (
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "jti",
            "cnf",
            "sid",
            "gen",
            "anc",
            "mark",
            "task",
            "scope",
        )
    },
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_is_refused_with_its_code(bench: Bench, name: str) -> None:
    token, code = BAD_TOKENS[name]
    proof = WORK.proof(token, "GET", URL, now=bench.clock.now())

    assert bench.code(token, proof) == code


JWK = dict(WORK.key.jwk)
PROOF_HEADER: dict[str, object] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK}
BAD_PROOF_HEADERS: dict[str, tuple[dict[str, object], str]] = {
    "typ missing": ({"alg": "ES256", "jwk": JWK}, "bad_proof"),
    "typ JWT": ({**PROOF_HEADER, "typ": "JWT"}, "bad_proof"),
    "typ at+jwt": ({**PROOF_HEADER, "typ": "at+jwt"}, "bad_proof"),
    "alg missing": ({"typ": "dpop+jwt", "jwk": JWK}, "bad_proof"),
    "alg none": ({**PROOF_HEADER, "alg": "none"}, "bad_proof"),
    "alg RS256": ({**PROOF_HEADER, "alg": "RS256"}, "bad_proof"),
    "jwk missing": ({"typ": "dpop+jwt", "alg": "ES256"}, "bad_proof"),
    "jwk a string": ({**PROOF_HEADER, "jwk": "key"}, "bad_proof"),
    "jwk private": ({**PROOF_HEADER, "jwk": {**JWK, "d": JWK["x"]}}, "bad_proof"),
    "jwk symmetric": ({**PROOF_HEADER, "jwk": {"kty": "oct", "k": "AA"}}, "bad_proof"),
    "jwk on P-384": ({**PROOF_HEADER, "jwk": {**JWK, "crv": "P-384"}}, "bad_proof"),
    "jwk for another alg": ({**PROOF_HEADER, "jwk": {**JWK, "alg": "ES384"}}, "bad_proof"),
    "jwk RSA": ({**PROOF_HEADER, "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, "bad_proof"),
    "jwk off the curve": ({**PROOF_HEADER, "jwk": {**JWK, "x": "A" * 43}}, "bad_proof"),
    "jwk short": ({**PROOF_HEADER, "jwk": {**JWK, "x": "AA"}}, "bad_proof"),
    "jwk with a lone surrogate": ({**PROOF_HEADER, "jwk": {**JWK, "x": "\ud800" * 43}}, "bad_proof"),
    "jwk of another key than signed": ({**PROOF_HEADER, "jwk": dict(OTHER.jwk)}, "bad_proof"),
    "crit": ({**PROOF_HEADER, "crit": ["x"]}, "bad_proof"),
}


@pytest.mark.parametrize("name", BAD_PROOF_HEADERS)
def test_a_bad_proof_header_is_refused_with_its_code(bench: Bench, name: str) -> None:
    header, code = BAD_PROOF_HEADERS[name]
    token = token_of(bench)
    claims = {
        "jti": name,
        "htm": "GET",
        "htu": URL,
        "iat": int(bench.clock.now().timestamp()),
        "ath": ath_of(token),
    }

    assert bench.code(token, forge(header, claims, WORK.key)) == code


def test_unknown_members_of_a_proof_are_ignored(bench: Bench) -> None:
    token = token_of(bench)
    header = {**PROOF_HEADER, "kid": "any", "x": 1}
    claims = {
        "jti": "u",
        "htm": "GET",
        "htu": URL,
        "iat": int(bench.clock.now().timestamp()),
        "ath": ath_of(token),
    }

    assert bench.code(token, forge(header, {**claims, "extra": 1}, WORK.key)) == "ok"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"authorization": []}, "no_token"),
        ({"authorization": ["Bearer x"]}, "no_token"),
        ({"authorization": ["DPoP"]}, "no_token"),
        ({"authorization": ["DPoP "]}, "no_token"),
        ({"authorization": ["DPoP a", "DPoP b"]}, "no_token"),
        ({"proofs": []}, "bad_proof"),
        ({"proofs": ["a", "b"]}, "bad_proof"),
        ({"proofs": ["a, b"]}, "bad_proof"),
        ({"proofs": [""]}, "bad_proof"),
        ({"proofs": ["x" * 9000]}, "bad_proof"),
        ({"method": "POST"}, "bad_proof"),
        ({"url": BASE + "/other"}, "bad_proof"),
        ({"required": frozenset({"stock.write"})}, "insufficient_scope"),
    ],
    ids=str,
)
def test_a_request_that_is_wrong_around_the_token_is_refused(
    bench: Bench, changes: dict[str, Any], code: str
) -> None:
    assert bench.code(token_of(bench), **changes) == code


def test_a_bound_token_sent_as_bearer_is_refused(bench: Bench) -> None:
    token = token_of(bench)

    assert bench.code(token, authorization=[f"Bearer {token}"]) == "no_token"


def test_a_proof_is_good_once(bench: Bench) -> None:
    token = token_of(bench)
    proof = WORK.proof(token, "GET", URL, now=bench.clock.now())

    assert [bench.code(token, proof) for _ in range(3)] == ["ok", "replayed_proof", "replayed_proof"]


def test_a_proof_cannot_be_replayed_at_any_later_instant(bench: Bench) -> None:
    token = token_of(bench)
    ahead = WORK.proof(token, "GET", URL, now=bench.clock.now() + timedelta(seconds=10))
    assert bench.code(token, ahead) == "ok"

    for _ in range(400):
        bench.clock.at += 0.5
        bench.hear()

        assert bench.code(token, ahead) in {"replayed_proof", "bad_proof"}


def test_the_memory_of_proofs_is_bounded_and_refuses_when_full() -> None:
    seen = SeenProofs(most=2)
    seen.spend("k", "1", 0.0)
    seen.spend("k", "2", 0.0)

    with pytest.raises(SojournError) as refusal:
        seen.spend("k", "3", 1.0)

    assert refusal.value.code == "overloaded"
    seen.spend("k", "3", 81.0)


def test_a_proof_by_another_key_is_refused(bench: Bench) -> None:
    token = token_of(bench)
    thief = Workload()

    assert bench.code(token, thief.proof(token, "GET", URL, now=bench.clock.now())) == "wrong_key"


def test_a_token_bound_to_a_certificate_needs_that_certificate_and_no_proof(bench: Bench) -> None:
    mine, other = of_certificate(b"mine"), of_certificate(b"other")
    token = token_of(bench, key=mine)
    bearer: dict[str, Any] = {"authorization": [f"Bearer {token}"], "proofs": []}

    assert bench.code(token, certificate=mine, **bearer) == "ok"
    assert bench.code(token, certificate=mine, **bearer) == "ok"  # TLS makes each request fresh
    assert bench.code(token, certificate=other, **bearer) == "wrong_key"
    assert bench.code(token, **bearer) == "no_token"
    assert bench.code(token, certificate=mine) == "wrong_key"  # by a proof: it is bound to no key
    assert bench.code(
        token_of(bench), certificate=mine, authorization=[f"Bearer {token_of(bench)}"], proofs=[]
    ) == ("no_token")


@pytest.mark.parametrize(
    "cnf",
    [{}, {"jkt": "a", "x5t#S256": "b"}, {"x5t#S256": 1}, {"jkt": "x5t#S256:a"}, {"jwk": {}}, [], "jkt"],
    ids=str,
)
def test_a_token_bound_to_nothing_or_to_two_things_is_refused(bench: Bench, cnf: object) -> None:
    header = {"typ": "at+jwt", "alg": "ES256", "kid": ISSUER_KEY.thumbprint}

    assert bench.code(forge(header, payload(cnf=cnf))) == "bad_token"
