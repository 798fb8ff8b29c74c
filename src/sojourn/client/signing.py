"""Signs what a client sends: DPoP proofs and client assertions, both ES256.

Only `cryptography` is used, and only to sign: importing a JOSE library costs `sojourn run`
a quarter of a second before its first request. Nothing is ever verified here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret

_COORDINATE: Final = 32
ASSERTION_LIFE_S: Final = 60  # the server allows 120; a short one is worth less when stolen


class Es256Key:
    """A private P-256 key that signs, and shows only its public half."""

    __slots__ = ("_private", "public_jwk", "thumbprint")

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        numbers = private.public_key().public_numbers()
        self._private = private
        self.public_jwk: Mapping[str, str] = {
            "crv": "P-256",
            "kty": "EC",
            "x": encode(numbers.x.to_bytes(_COORDINATE, "big")),
            "y": encode(numbers.y.to_bytes(_COORDINATE, "big")),
        }
        self.thumbprint = encode(hashlib.sha256(_compact(self.public_jwk)).digest())  # RFC 7638

    def __repr__(self) -> str:
        return f"Es256Key({self.thumbprint})"

    @classmethod
    def generate(cls) -> Es256Key:
        """Make a new key, in memory."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def read(cls, jwk: Mapping[str, object]) -> Es256Key:
        """Read a private JWK (RFC 7518, section 6.2).

        Raises:
            Invalid: code `bad_key`; not a private P-256 key.
        """
        if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or not isinstance(jwk.get("d"), str):
            raise Invalid("bad_key", "expected a private JWK of kind EC on curve P-256")
        try:
            private = ec.derive_private_key(int.from_bytes(decode(str(jwk["d"])), "big"), ec.SECP256R1())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise Invalid("bad_key", "the private JWK does not hold a key on curve P-256") from error
        key = cls(private)
        if (key.public_jwk["x"], key.public_jwk["y"]) != (jwk.get("x"), jwk.get("y")):
            raise Invalid("bad_key", "the two halves of the private JWK do not belong together")
        return key

    def private_jwk(self) -> Secret:
        """The whole key as JSON, for the one file that keeps it."""
        value = self._private.private_numbers().private_value.to_bytes(_COORDINATE, "big")
        return Secret(json.dumps({**self.public_jwk, "d": encode(value)}, sort_keys=True))

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """Sign as a compact JWS (RFC 7515); the algorithm is always ES256."""
        head = _compact({**header, "alg": "ES256"})
        signed = f"{encode(head)}.{encode(_compact(claims))}"
        r, s = decode_dss_signature(self._private.sign(signed.encode("ascii"), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{encode(r.to_bytes(_COORDINATE, 'big') + s.to_bytes(_COORDINATE, 'big'))}"


def sign_proof(
    key: Es256Key,
    method: str,
    url: str,
    now: datetime,
    *,
    jti: str,
    access_token: Secret | None = None,
    nonce: str | None = None,
) -> str:
    """A DPoP proof for one request (RFC 9449, section 4.2); query and fragment are cut off."""
    claims: dict[str, object] = {
        "jti": jti,
        "htm": method,
        "htu": url.partition("#")[0].partition("?")[0],
        "iat": int(now.timestamp()),
    }
    if access_token is not None:
        claims["ath"] = encode(hashlib.sha256(access_token.reveal().encode("ascii")).digest())
    if nonce is not None:
        claims["nonce"] = nonce
    return key.sign({"typ": "dpop+jwt", "jwk": dict(key.public_jwk)}, claims)


def sign_client_assertion(key: Es256Key, client_id: str, issuer: str, now: datetime, *, jti: str) -> str:
    """A client assertion for `issuer` alone (RFC 7523, section 3; RFC 10070)."""
    at = int(now.timestamp())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": at,
        "exp": at + ASSERTION_LIFE_S,
        "jti": jti,
    }
    return key.sign({"typ": "client-authentication+jwt"}, claims)


def sign_introduction(parent: Es256Key, child_key: str, issuer: str, now: datetime, *, jti: str) -> str:
    """The actor token by which the parent presents the child with thumbprint `child_key` (RFC 8693)."""
    at = int(now.timestamp())
    claims = {"sub": child_key, "aud": issuer, "iat": at, "exp": at + ASSERTION_LIFE_S, "jti": jti}
    return parent.sign({"typ": "sojourn-introduction+jwt", "jwk": dict(parent.public_jwk)}, claims)


def encode(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The inverse of `encode`; `ValueError` when it is not base64url."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
