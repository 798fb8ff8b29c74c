"""What a guard refuses, by name: tokens, proofs, headers, sessions and silence."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey

from sojourn.core.errors import SojournError
from sojourn.core.proof import ath_of
from sojourn.core.revocation import Entry, Kind, Mark, Page, RevocationView
from sojourn.core.token import to_json
from sojourn.guard.replay import SeenProofs
from sojourn.guard.verifier import MOST_TOKENS, Call, Rules, Verifier
from sojourn.jose import Es256Key, sign_proof, verify_access_token, verify_client_assertion, verify_proof
from tests.guard.world import AUDIENCE, BASE, Workload, claims_for, sign_token

ISSUER = "https://sojourn.example"
URL = BASE + "/stock"
START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ISSUER_KEY = Es256Key.generate()
WORK = Workload()


@dataclass
class Hands:
    """A clock moved by hand."""

    at: float = 1000.0
    off: timedelta = timedelta(0)
    base: datetime = field(default_factory=lambda: datetime.now(UTC))

    def mono(self) -> float:
        return self.at

    def now(self) -> datetime:
        return self.base + timedelta(seconds=self.at - 1000.0) + self.off


class Bench:
    """A verifier that has just heard the feed, and requests to show it."""

    def __init__(self) -> None:
        self.clock = Hands()
        self.view = RevocationView()
        self.verifier = Verifier(Rules(ISSUER, AUDIENCE), self.view, self.clock)
        self.verifier.trust({ISSUER_KEY.thumbprint: ISSUER_KEY.public})
        self.hear()

    def hear(self, *entries: Entry, epoch: int = 1, n: int = 0, snapshot: bool = True) -> None:
        page = Page(Mark(epoch, n), self.clock.now() - self.clock.off, snapshot, entries)
        self.view.apply(page, sent_at=self.clock.mono(), received_at=self.clock.mono())

    def call(self, token: str, proof: str | None = None, **changes: Any) -> Call:
        shown = proof if proof is not None else WORK.proof(token, "GET", URL, now=self.clock.now())
        given: dict[str, Any] = {
            "method": "GET",
            "url": URL,
            "authorization": [f"DPoP {token}"],
            "proofs": [shown],
            "required": frozenset({"stock.read"}),
        }
        return Call(**{**given, **changes})

    def code(self, token: str, proof: str | None = None, **changes: Any) -> str:
        """The code of the refusal, or `ok`."""
        try:
            self.verifier.check(self.call(token, proof, **changes))
        except SojournError as error:
            return error.code
        return "ok"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def token_of(bench: Bench, **changes: Any) -> str:
    at = bench.clock.now()
    life = {"issued_at": at, "expires_at": at + timedelta(seconds=300)}
    return sign_token(ISSUER_KEY, claims_for(WORK, ISSUER, **{**life, **changes}))


def b64(value: object) -> str:
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def forge(header: object, payload: object, key: Es256Key = ISSUER_KEY) -> str:
    """Anything, truly signed: what is refused is refused for its content."""
    signed = f"{b64(header)}.{b64(payload)}"
    shell = key.sign({}, {})  # only to reach the private key's algorithm
    assert shell.count(".") == 2
    from joserfc.jws import JWSRegistry

    algorithm = JWSRegistry(algorithms=["ES256"]).get_alg("ES256")
    signature = algorithm.sign(signed.encode(), ECKey.import_key(key.secret_pem().reveal()))
    return f"{signed}.{b64(signature)}"


HEADER = {"typ": "at+jwt", "alg": "ES256", "kid": ISSUER_KEY.thumbprint}


def payload(**changes: Any) -> dict[str, object]:
    claims = {**to_json(claims_for(WORK, ISSUER)), **changes}
    return {name: value for name, value in claims.items() if value is not None}


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
OTHER = Es256Key.generate()
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
            lambda it: verify_client_assertion(it, WORK.key.public, ISSUER, client_id="cli_w", now=START),
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
