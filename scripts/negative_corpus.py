"""Write the negative corpus: tokens and proofs that must be refused, a file each, named by the reason.

    .venv/bin/python scripts/negative_corpus.py

Every one differs from a good one of its kind (`good/`) in the one thing that its name says, and is
truly signed wherever its name does not say otherwise: it is refused for its reason or not at all.
The keys in `keys.json` are for tests, made once and kept; signatures differ from run to run.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from corpus_claims import access_claims, assertion_claims, client_claims, foreign_claims, proof_claims
from corpus_kinds import HERE, Case, Keys, Kind, b64, fixed_token, kinds
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-4)


def headers(kind: Kind, keys: Keys) -> Iterator[Case]:
    """What a header must not say."""
    algs = ("none", "None", "NONE", "HS256", "RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "es256")
    for alg in algs:
        if alg != kind.header["alg"]:
            yield f"alg-{alg}-over-a-good-signature", kind.headed(alg=alg)
    signed = f"{b64({**kind.header, 'alg': 'none'})}.{b64(kind.claims)}"
    yield "alg-none-without-signature", signed + "."
    yield "alg-none-in-two-parts", signed
    for name, secret in _symmetric(kind, keys):
        head = f"{b64({**kind.header, 'alg': 'HS256'})}.{b64(kind.claims)}"
        yield f"hs256-with-{name}", f"{head}.{b64(hmac.digest(secret, head.encode(), 'sha256'))}"
    for shown, value in (
        ("missing", ...),
        ("null", None),
        ("number", 256),
        ("list", ["ES256"]),
        ("empty", ""),
    ):
        yield f"alg-{shown}", kind.headed(alg=value)
    yield "crit-empty", kind.headed(crit=[])
    yield "crit-unknown", kind.headed(crit=["exp"], exp=1)
    yield "crit-b64", kind.headed(crit=["b64"], b64=False)
    yield "b64-false", kind.headed(b64=False)
    yield "b64-false-and-raw-payload", _raw_payload(kind)
    for typ in ("at+jwt", "dpop+jwt", "client-authentication+jwt", "secevent+jwt", "statuslist+jwt",
                "token-introspection+jwt", "txntoken+jwt", "oauth-id-jag+jwt", "logout+jwt"):  # fmt: skip
        if typ != kind.header["typ"]:
            yield f"typ-{typ.replace('+', '-')}", kind.headed(typ=typ)
    for shown, value in (("number", 7), ("list", [kind.header["typ"]]), ("with-space",
    f" {kind.header['typ']}"),
                         ("text-media-type", f"text/{kind.header['typ']}"), ("null", None)):  # fmt: skip
        yield f"typ-{shown}", kind.headed(typ=value)


def _symmetric(kind: Kind, keys: Keys) -> Iterator[tuple[str, bytes]]:
    if kind.signer == "foreign":
        yield "public-pem-as-secret", keys.rsa.as_pem(private=False)
        return
    yield "public-pem-as-secret", keys.raw[kind.signer].as_pem(private=False)
    yield "public-jwk-as-secret", json.dumps(dict(keys.ec[kind.signer].jwk)).encode()
    yield "empty-secret", b""


def _raw_payload(kind: Kind) -> str:
    head = b64({**kind.header, "b64": False, "crit": ["b64"]})
    payload = json.dumps(kind.claims)
    signature = kind.keys.sign(kind.signer, f"{head}.{payload}".encode())
    return f"{head}.{payload}.{b64(signature)}"


def key_ids(kind: Kind, keys: Keys) -> Iterator[Case]:
    """`kid` and its kin are attacker's input."""
    evil = {
        "path": "../../../../dev/null", "absolute-path": "/etc/passwd", "sql": "' OR 1=1 --",
        "sql-union": "x' UNION SELECT 'secret' --", "url": "https://evil.example/jwks.json",
        "file-url": "file:///dev/null", "command": "`id`|sh", "template": "{{7*7}}", "format": "%s%s%n",
        "nul": "a\x00b", "newline": "a\nb", "empty": "", "number": 1, "list": ["a"], "object": {"a": 1},
        "null": None, "boolean": True, "endless": "k" * 4000,
        "thumbprint-of-thief": keys.ec["thief"].thumbprint,
        "of-another-purpose": keys.ec["introspection"].thumbprint, "revoked": keys.ec["revoked"].thumbprint,
    }  # fmt: skip
    for name, kid in evil.items():
        yield f"kid-{name}", kind.headed(kid=kid)
    yield "kid-missing", kind.headed(kid=...)
    yield (
        "signed-by-a-key-of-another-purpose",
        keys.jws("introspection", {**kind.header, "kid": keys.ec["introspection"].thumbprint}, kind.claims),
    )
    yield (
        "signed-by-a-revoked-key",
        keys.jws("revoked", {**kind.header, "kid": keys.ec["revoked"].thumbprint}, kind.claims),
    )
    thief = keys.ec["thief"]
    for name, member in (
        ("jwk", {"jwk": dict(thief.jwk)}),
        ("jku", {"jku": "http://127.0.0.1:9/jwks.json"}),
        ("jku-metadata", {"jku": "http://169.254.169.254/latest/meta-data/"}),
        ("x5u", {"x5u": "http://127.0.0.1:9/thief.pem"}),
        ("x5c", {"x5c": [base64.b64encode(b"certificate").decode()]}),
        ("x5t", {"x5t#S256": b64(hashlib.sha256(b"certificate").digest())}),
    ):
        header = {**kind.header, "alg": "ES256", **member}
        yield f"{name}-of-the-thief", keys.jws("thief", header, kind.claims)
        yield (
            f"{name}-of-the-thief-and-his-kid",
            keys.jws("thief", {**header, "kid": thief.thumbprint}, kind.claims),
        )


def signatures(kind: Kind, keys: Keys) -> Iterator[Case]:
    """Whatever is not the one signature."""
    good = kind.good()
    head, payload, signature = good.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    flipped = bytes([raw[0] ^ 1]) + raw[1:]
    variants = {
        "empty": b"", "one-byte": b"\x00", "truncated": raw[:-1], "extended": raw + b"\x00",
        "flipped": flipped,
        "all-zero": bytes(len(raw)), "all-ones": b"\xff" * len(raw), "doubled": raw + raw,
    }  # fmt: skip
    if kind.signer != "foreign":
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        variants |= {
            "swapped": raw[32:] + raw[:32], "der": encode_dss_signature(r, s),
            "s-zero": raw[:32] + bytes(32),
            "r-zero": bytes(32) + raw[32:], "r-of-the-order": ORDER.to_bytes(32, "big") + raw[32:],
        }  # fmt: skip
    for name, value in variants.items():
        yield f"signature-{name}", f"{head}.{payload}.{b64(value)}"
    yield "signature-of-other-claims", f"{head}.{payload}.{kind.saying(jti='other').split('.')[2]}"
    yield "signature-of-another-header", f"{head}.{payload}.{kind.headed(x=1).split('.')[2]}"
    yield "signature-by-the-thief", keys.jws("thief", {**kind.header, "alg": "ES256"}, kind.claims)
    yield "claims-changed-after-signing", f"{head}.{b64({**kind.claims, 'jti': 'changed'})}.{signature}"
    yield "header-changed-after-signing", f"{b64({**kind.header, 'x': 1})}.{payload}.{signature}"


def shapes(kind: Kind, keys: Keys) -> Iterator[Case]:
    """What is no compact JWS of one JSON object."""
    good = kind.good()
    head, payload, signature = good.split(".")
    yield from {
        "empty": "", "one-part": head, "two-parts": f"{head}.{payload}", "two-dots-only": "..",
        "four-parts": f"{good}.{signature}",
        "five-parts-like-a-jwe": f"{head}..{payload}.{signature}.{signature}",
        "json-flattened": json.dumps({"protected": head, "payload": payload, "signature": signature}),
        "json-general": json.dumps(
            {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
        ),
        "space-inside": f"{head}. {payload}.{signature}",
        "newline-inside": f"{head}.\n{payload}.{signature}",
        "padded": f"{head}.{payload}.{signature}==", "plus-and-slash": f"{head}.{payload}+/.{signature}",
        "not-ascii": f"{head}.{payload}é.{signature}", "percent-encoded": good.replace(".", "%2E"),
        "longer-than-is-read": kind.saying(filler="x" * 9000), "two-in-one": f"{good},{good}",
        "quoted": f'"{good}"', "no-signature-part": f"{head}.{payload}.",
        "stray-bits": f"{head}.{payload}.{_stray(signature)}",
    }.items()  # fmt: skip
    yield "nested-jwt-as-payload", kind.holding(good.encode())
    yield "nested-jwe-as-payload", kind.holding(b"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA")
    for name, octets in _payloads(json.dumps(kind.claims)):
        yield f"payload-{name}", kind.holding(octets)
    for name, raw in (("list", [kind.header]), ("text", "header"), ("null", None), ("number", 1)):
        yield f"header-is-a-{name}", keys.jws(kind.signer, raw, kind.claims)
    text = json.dumps(kind.header)
    yield (
        "header-with-a-member-twice",
        keys.jws(kind.signer, (text[:-1] + ',"alg":"none"}').encode(), kind.claims),
    )
    yield "header-in-utf-16", keys.jws(kind.signer, text.encode("utf-16"), kind.claims)


def _stray(signature: str) -> str:
    """Another spelling of the same octets: bits set that decoders drop."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]


def _payloads(text: str) -> Iterator[tuple[str, bytes]]:
    body = text[:-1]
    for name, member in {
        "with-a-member-twice": body.lstrip("{"), "with-a-nested-member-twice": '"x": {"a": 1, "a": 2}',
        "with-nan": '"x": NaN', "with-infinity": '"x": Infinity', "with-minus-infinity": '"x": -Infinity',
        "with-1e999": '"x": 1e999', "with-a-huge-integer": f'"x": {"9" * 5000}',
        "with-a-long-integer": f'"x": {"9" * 40}', "too-deep": f'"x": {"[" * 1500}{"]" * 1500}',
        "a-little-too-deep": f'"x": {"[" * 10}{"]" * 10}', "with-half-a-surrogate-pair": r'"x": "\ud800"',
        "with-nul": r'"x": "\u0000"', "with-a-comment": '"x": 1 /* */',
    }.items():  # fmt: skip
        yield name, f"{body}, {member}}}".encode()
    yield from {
        "empty": b"", "a-list": f"[{text}]".encode(), "a-text": json.dumps(text).encode(), "a-number": b"1",
        "null": b"null", "with-a-byte-order-mark": b"\xef\xbb\xbf" + text.encode(),
        "not-utf-8": body.encode() + b', "x": "\xff"}', "with-a-trailing-comma": f"{body},}}".encode(),
        "followed-by-more": f"{text} {{}}".encode(), "in-single-quotes": text.replace('"', "'").encode(),
        "in-utf-16": text.encode("utf-16"), "cut-short": text[:-4].encode(),
        "compressed": zlib.compress(text.encode()),
    }.items()  # fmt: skip


Claiming = Callable[[Kind, Keys], Iterator[Case]]
CLAIMS: Final[Mapping[str, Claiming]] = {
    "access-token": access_claims,
    "client-token": client_claims,
    "proof": proof_claims,
    "assertion": assertion_claims,
    "foreign-token": foreign_claims,
}


def cases(kind: Kind, keys: Keys) -> Iterator[Case]:
    """Everything that must be refused for this kind."""
    for group in (headers, key_ids, signatures, shapes, CLAIMS[kind.name]):
        if kind.name == "proof" and group is key_ids:
            continue  # a proof is verified by the key it carries: `kid` and its kin are not asked
        for name, compact in group(kind, keys):
            if kind.name == "assertion" and name.startswith("kid-"):
                continue  # an assertion is verified by its client's one key, whatever it calls it
            yield name, compact


def main() -> None:
    """Write them all."""
    HERE.mkdir(parents=True, exist_ok=True)
    keys = Keys.load()
    for kind in kinds(keys).values():
        (HERE / "good").mkdir(exist_ok=True)
        good = fixed_token(keys, kind) if kind.name == "access-token" else kind.good()
        (HERE / "good" / f"{kind.name}.jwt").write_text(good + "\n")
        folder = HERE / kind.name
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        written: set[str] = set()
        for name, compact in cases(kind, keys):
            assert name not in written, name
            written.add(name)
            (folder / f"{name}.json").write_text(json.dumps(compact) + "\n")
        print(f"{kind.name}: {len(written)}")


if __name__ == "__main__":
    main()
