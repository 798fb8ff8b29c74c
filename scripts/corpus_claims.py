"""What the claims of each kind must not be: the second half of the negative corpus."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Final

from corpus_kinds import AUDIENCE, FOREIGN, ISSUER, NOW, URL, Case, Keys, Kind, b64, changed

from sojourn.core.proof import ath_of

WRONG: Final[Mapping[str, object]] = {
    "missing": ..., "null": None, "number": 1.5, "list": ["a"], "object": {"a": 1}, "boolean": True,
}  # fmt: skip


def _each(kind: Kind, names: tuple[str, ...], wrong: Mapping[str, object]) -> Iterator[Case]:
    for name in names:
        for shown, value in wrong.items():
            yield f"{name}-{shown}", kind.saying(**{name: value})


def _dates(kind: Kind, name: str) -> Iterator[Case]:
    wrong = {"text": str(NOW + 60), "negative": -1, "beyond-the-year-9999": 253_402_300_800}
    for shown, value in wrong.items():
        yield f"{name}-{shown}", kind.saying(**{name: value})


def _addresses(kind: Kind, name: str, good: str) -> Iterator[Case]:
    for shown, value in {
        "with-slash": good + "/", "longer": good + ".evil.example", "shorter": good[:-1],
        "upper-case": good.upper(),
        "http": good.replace("https", "http"), "with-port": good + ":443", "with-query": good + "?a=1",
        "with-user": good.replace("//", "//a@"), "with-space": good + " ", "empty": "",
    }.items():  # fmt: skip
        if value != good:
            yield f"{name}-{shown}", kind.saying(**{name: value})


def access_claims(kind: Kind, keys: Keys) -> Iterator[Case]:
    """Of a session's token."""
    yield from _each(kind, ("iss", "sub", "aud", "jti", "sid", "task", "owner", "charter", "scope"), WRONG)
    yield from _each(
        kind, ("exp", "iat", "gen", "mark", "anc"), {k: v for k, v in WRONG.items() if k != "list"}
    )
    yield from _dates(kind, "exp")
    yield from _addresses(kind, "iss", ISSUER)
    yield from _addresses(kind, "aud", AUDIENCE)
    yield "aud-list-of-one", kind.saying(aud=[AUDIENCE])
    yield "aud-list-of-two", kind.saying(aud=[AUDIENCE, "https://other.example"])
    yield "aud-of-our-own-api", kind.saying(aud=ISSUER)
    yield "expired", kind.saying(exp=NOW - 1)
    yield "expires-now", kind.saying(exp=NOW)
    yield "issued-in-the-future", kind.saying(iat=NOW + 6)
    yield "nbf-in-the-future", kind.saying(nbf=NOW + 60)
    yield "cnf-missing", kind.saying(cnf=...)
    yield "cnf-empty", kind.saying(cnf={})
    yield "cnf-without-a-thumbprint", kind.saying(cnf={"kid": "a"})
    yield "cnf-jwk-instead-of-jkt", kind.saying(cnf={"jwk": dict(keys.ec["thief"].jwk)})
    yield "cnf-jkt-a-number", kind.saying(cnf={"jkt": 1})
    yield "cnf-of-another-key", kind.saying(cnf={"jkt": keys.ec["thief"].thumbprint})
    yield "gen-negative", kind.saying(gen=-1)
    yield "mark-without-epoch", kind.saying(mark={"n": 0})
    yield "mark-of-an-old-epoch", kind.saying(mark={"epoch": 0, "n": 0})
    yield "mark-of-a-later-epoch", kind.saying(mark={"epoch": 2, "n": 0})
    yield "anc-of-numbers", kind.saying(anc=[1])
    yield "anc-too-long", kind.saying(anc=["ses_0"] * 9)
    yield "of-a-session-that-is-over", kind.saying(sid="ses_over")
    yield "child-of-a-session-that-is-over", kind.saying(anc=["ses_over"])
    yield "without-the-scope", kind.saying(scope="stock.write")


def client_claims(kind: Kind, keys: Keys) -> Iterator[Case]:
    """Of a client's token for our own API."""
    yield from _each(kind, ("iss", "sub", "aud", "exp", "cnf"), WRONG)
    yield from _dates(kind, "exp")
    yield from _addresses(kind, "iss", ISSUER)
    yield from _addresses(kind, "aud", ISSUER)
    yield "expired", kind.saying(exp=NOW - 1)
    yield "expires-now", kind.saying(exp=NOW)
    yield "of-a-stranger", kind.saying(sub="cli_06f8k2q0000000000000000009")
    yield "of-no-client-id-at-all", kind.saying(sub="' OR 1=1 --")
    yield "cnf-of-another-key", kind.saying(cnf={"jkt": keys.ec["thief"].thumbprint})
    yield "a-sessions-token", keys.jws("ours", kind.header, {**kind.claims, "sid": "ses_1"})


def proof_claims(kind: Kind, keys: Keys) -> Iterator[Case]:
    """RFC 9449's own list, and what it leaves to the reader."""
    yield from _each(kind, ("jti", "htm", "htu", "iat", "ath"), WRONG)
    yield from _dates(kind, "iat")
    for shown, value in {
        "another-path": "http://shop.example/other", "another-host": "http://evil.example/stock",
        "another-scheme": "https://shop.example/stock", "another-port": "http://shop.example:81/stock",
        "with-user": "http://a@shop.example/stock", "with-a-slash-more": URL + "/", "relative": "/stock",
        "upper-case-path": "http://shop.example/STOCK", "percent-encoded": "http://shop.example/%73tock",
        "doubled-slash": "http://shop.example//stock", "with-dots": "http://shop.example/a/../stock",
        "host-with-a-dot": "http://shop.example./stock", "no-address": "stock", "empty": "",
        "file": "file:///stock", "backslash": "http://shop.example\\stock",
        "longer-host": "http://shop.example.evil/stock",
    }.items():  # fmt: skip
        yield f"htu-{shown}", kind.saying(htu=value)
    for method in ("POST", "get", "GET ", "HEAD", "", "GET,POST"):
        yield f"htm-{method.strip().lower() or 'empty'}-{len(method)}", kind.saying(htm=method)
    for shown, at in {
        "61-seconds-old": -61,
        "an-hour-old": -3600,
        "11-seconds-ahead": 11,
        "an-hour-ahead": 3600,
    }.items():
        yield f"iat-{shown}", kind.saying(iat=NOW + at)
    yield "jti-empty", kind.saying(jti="")
    yield "jti-endless", kind.saying(jti="j" * 257)
    yield "ath-of-another-token", kind.saying(ath=ath_of("another"))
    yield "ath-in-hex", kind.saying(ath=hashlib.sha256(b"token").hexdigest())
    yield "ath-empty", kind.saying(ath="")
    yield from _proof_keys(kind, keys)


def _proof_keys(kind: Kind, keys: Keys) -> Iterator[Case]:
    good, thief = dict(keys.ec["holder"].jwk), dict(keys.ec["thief"].jwk)
    private = json.loads(keys.ec["holder"].secret_jwk().reveal())
    for shown, jwk in {
        "missing": ..., "null": None, "a-text": "jwk", "a-list": [good], "empty": {}, "private": private,
        "symmetric": {"kty": "oct", "k": "c2VjcmV0"}, "of-the-thief": thief, "without-x": changed(good,
        {"x": ...}),
        "without-y": changed(good, {"y": ...}), "on-another-curve": {**good, "crv": "P-384"},
        "on-no-curve": {**good, "crv": "P-255"}, "with-a-point-off-the-curve": {**good, "y": good["x"]},
        "with-the-point-zero": {**good, "x": b64(bytes(32)), "y": b64(bytes(32))},
        "with-short-coordinates": {**good, "x": good["x"][:40]}, "with-padded-coordinates": {**good,
        "x": good["x"] + "="},
        "with-numbers": {**good, "x": 1, "y": 2}, "of-another-kind": {**good, "kty": "RSA"},
        "for-another-algorithm": {**good, "alg": "ES384"},
    }.items():  # fmt: skip
        yield f"jwk-{shown}", kind.headed(jwk=jwk)
    public = keys.rsa.as_dict(private=False)
    yield "jwk-rsa", kind.headed(jwk=public)
    yield "by-another-key-than-the-tokens", keys.jws("thief", {**kind.header, "jwk": thief}, kind.claims)


def assertion_claims(kind: Kind, keys: Keys) -> Iterator[Case]:
    """Of `private_key_jwt` (RFC 7523, RFC 10070)."""
    yield from _each(kind, ("iss", "sub", "aud", "exp", "iat", "jti"), WRONG)
    for name in ("exp", "iat"):
        yield from _dates(kind, name)
    yield from _addresses(kind, "aud", ISSUER)
    yield "aud-the-token-endpoint", kind.saying(aud=ISSUER + "/oauth2/token")
    yield "aud-list-of-two", kind.saying(aud=[ISSUER, "https://other.example"])
    yield "aud-list-of-one-other", kind.saying(aud=["https://other.example"])
    yield "aud-empty-list", kind.saying(aud=[])
    yield "expired", kind.saying(exp=NOW - 1)
    yield "expires-now", kind.saying(exp=NOW)
    yield "lives-too-long", kind.saying(exp=NOW + 121)
    yield "issued-in-the-future", kind.saying(iat=NOW + 11)
    yield "nbf-in-the-future", kind.saying(nbf=NOW + 60)
    yield "iss-is-not-sub", kind.saying(iss="cli_06f8k2q0000000000000000009")
    yield "of-a-stranger", kind.saying(iss="cli_x", sub="cli_x")
    yield "sub-sql", kind.saying(iss="' OR 1=1 --", sub="' OR 1=1 --")
    yield "jti-empty", kind.saying(jti="")
    yield "jti-endless", kind.saying(jti="j" * 257)
    yield "with-a-confirmation-like-a-token", kind.saying(cnf={"jkt": keys.ec["client"].thumbprint})


def foreign_claims(kind: Kind, keys: Keys) -> Iterator[Case]:
    """Of another issuer's token."""
    yield from _each(kind, ("iss", "aud", "exp"), WRONG)
    for name in ("exp", "nbf", "iat"):
        yield from _dates(kind, name)
    yield from _addresses(kind, "iss", FOREIGN)
    yield from _addresses(kind, "aud", ISSUER)
    yield "aud-list-of-others", kind.saying(aud=["https://other.example"])
    yield "expired", kind.saying(exp=NOW - 1)
    yield "expires-now", kind.saying(exp=NOW)
    yield "nbf-in-the-future", kind.saying(nbf=NOW + 6)
    yield "issued-in-the-future", kind.saying(iat=NOW + 6)
