"""The good tokens of the negative corpus, the keys that sign them, and how one is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, RSAKey

from sojourn.adapters.key_pairs import sign
from sojourn.core.proof import ath_of
from sojourn.jose import Es256Key

HERE: Final = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "negative"
NOW: Final = int(datetime(2026, 11, 25, 12, 0, tzinfo=UTC).timestamp())
ISSUER: Final = "http://127.0.0.1:8787"
AUDIENCE: Final = "https://shop.example"
URL: Final = "http://shop.example/stock"
CLIENT: Final = "cli_06f8k2q0000000000000000001"
FOREIGN: Final = "https://issuer.example"
EC_KEYS: Final = ("ours", "introspection", "revoked", "client", "holder", "thief")

Claims = dict[str, Any]
Case = tuple[str, str]  # name, compact


def b64(value: object) -> str:
    """base64url of octets, or of the JSON of anything else."""
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Keys:
    """The fixed test keys."""

    def __init__(self, stored: Mapping[str, Mapping[str, str]]) -> None:
        self.ec = {name: Es256Key.from_jwk(stored[name]) for name in EC_KEYS}
        self.raw = {name: ECKey.import_key(dict(stored[name])) for name in EC_KEYS}
        self.rsa = RSAKey.import_key(dict(stored["foreign"]))

    @staticmethod
    def load() -> Keys:
        """Read them, making them on the first run."""
        place = HERE / "keys.json"
        if not place.exists():
            made: dict[str, object] = {
                n: json.loads(Es256Key.generate().secret_jwk().reveal()) for n in EC_KEYS
            }
            made["foreign"] = RSAKey.generate_key(2048).as_dict(private=True)
            place.write_text(json.dumps(made, indent=1) + "\n")
        return Keys(json.loads(place.read_text()))

    def sign(self, name: str, signed: bytes) -> bytes:
        """A signature as JWS has it, over any octets."""
        if name == "foreign":
            private = self.rsa.private_key
            assert isinstance(private, rsa.RSAPrivateKey)
            return private.sign(signed, padding.PKCS1v15(), SHA256())
        private_ec = self.raw[name].private_key
        assert private_ec is not None
        return sign(private_ec, signed)

    def jws(self, name: str, header: object, payload: object) -> str:
        """Anything, truly signed."""
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64(self.sign(name, signed.encode()))}"


@dataclass(frozen=True)
class Kind:
    """One kind of token: a good one, and how it is signed."""

    keys: Keys
    name: str
    signer: str
    header: Claims
    claims: Claims

    def good(self) -> str:
        """One that is accepted."""
        return self.keys.jws(self.signer, self.header, self.claims)

    def headed(self, **change: Any) -> str:
        """With header members changed, or left out where the change is `...`."""
        return self.keys.jws(self.signer, changed(self.header, change), self.claims)

    def saying(self, **change: Any) -> str:
        """With claims changed, or left out where the change is `...`."""
        return self.keys.jws(self.signer, self.header, changed(self.claims, change))

    def holding(self, payload: bytes) -> str:
        """With the very octets of a payload."""
        return self.keys.jws(self.signer, self.header, payload)


def changed(members: Claims, change: Claims) -> Claims:
    return {name: value for name, value in {**members, **change}.items() if value is not ...}


def kinds(keys: Keys) -> dict[str, Kind]:
    """The good ones."""
    ours, holder = keys.ec["ours"], keys.ec["holder"]
    client = keys.ec["client"]
    at = {"typ": "at+jwt", "alg": "ES256", "kid": ours.thumbprint}
    life = {"iss": ISSUER, "exp": NOW + 300, "iat": NOW, "jti": "t1"}
    session = {
        **life, "sub": CLIENT, "client_id": CLIENT, "aud": AUDIENCE, "cnf": {"jkt": holder.thumbprint},
        "scope": "stock.read", "sid": "ses_1", "gen": 1, "anc": ["ses_0"], "mark": {"epoch": 1, "n": 0},
        "task": "demo:1", "owner": "own_1", "charter": "demo@1",
    }  # fmt: skip
    own = {
        **life, "sub": CLIENT, "client_id": CLIENT, "aud": ISSUER, "cnf": {"jkt": client.thumbprint},
        "scope": "operate", "role": "operator",
    }  # fmt: skip
    access = Kind(keys, "access-token", "ours", at, session)
    proof = {"jti": "p1", "htm": "GET", "htu": URL, "iat": NOW, "ath": ath_of(fixed_token(keys, access))}
    assertion = {"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "a1"}
    foreign = {
        "iss": FOREIGN,
        "sub": "job",
        "aud": ISSUER,
        "exp": NOW + 60,
        "iat": NOW,
        "nbf": NOW,
        "jti": "f1",
    }
    found = [
        access,
        Kind(keys, "client-token", "ours", at, own),
        Kind(keys, "proof", "holder", {"typ": "dpop+jwt", "alg": "ES256", "jwk": dict(holder.jwk)}, proof),
        Kind(
            keys, "assertion", "client",
            {"typ": "client-authentication+jwt", "alg": "ES256", "kid": client.thumbprint}, assertion,
        ),
        Kind(keys, "foreign-token", "foreign", {"typ": "JWT", "alg": "RS256", "kid": "foreign"}, foreign),
    ]  # fmt: skip
    return {kind.name: kind for kind in found}


def fixed_token(keys: Keys, access: Kind) -> str:
    """The access token that proofs are for: made once, for their `ath` names it."""
    place = HERE / "good" / "access-token.jwt"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(access.good() + "\n")
    return place.read_text().strip()
