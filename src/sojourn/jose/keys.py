"""P-256 keys for ES256: one that verifies, one that signs. A private key never shows itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry, serialize_compact

from sojourn.core import proof
from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.secret import Secret
from sojourn.jose.compact import octets_of

_COORDINATE: Final = 43  # base64url characters of 32 octets
_SIGNATURE: Final = 64  # octets of r and s
_HALF: Final = 32
_ECDSA: Final = ec.ECDSA(hashes.SHA256())  # RFC 7518, section 3.4
_KEYS_CACHED: Final = 4096
_TOKENS: Final = "tokens"
_CURVE: Final = "secp256r1"
REGISTRY: Final = JWSRegistry(algorithms=["ES256"], strict_check_header=False)


class VerifyKey:
    """A public P-256 key that verifies ES256."""

    __slots__ = ("_key", "jwk", "thumbprint")

    def __init__(self, key: ECKey, jwk: Mapping[str, str]) -> None:
        self._key = key.public_key
        self.jwk = jwk
        self.thumbprint = proof.thumbprint_of(jwk)

    @staticmethod
    def from_jwk(jwk: Mapping[str, object]) -> VerifyKey:
        """Read a public key (RFC 7517); other members than the four that matter are ignored.

        Raises:
            Invalid: code `bad_key`; private, of another curve, not on it, or not canonical.
        """
        if "d" in jwk or "k" in jwk:
            raise Invalid("bad_key", "expected a public key, got a private one")
        if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256" or jwk.get("alg", "ES256") != "ES256":
            raise Invalid("bad_key", "expected an EC key on P-256 for ES256")
        x, y = jwk.get("x"), jwk.get("y")
        if not isinstance(x, str) or not isinstance(y, str) or len(x) != _COORDINATE or len(y) != _COORDINATE:
            raise Invalid("bad_key", "expected coordinates of 32 octets")
        return _public_key(x, y)

    @staticmethod
    def from_certificate(certificate: x509.Certificate) -> VerifyKey:
        """The key that a certificate is for; that somebody vouches for it is not looked at.

        Raises:
            Invalid: code `bad_key`; not on P-256.
        """
        public = certificate.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != _CURVE:
            raise Invalid("bad_key", "expected a certificate for a key on P-256")
        numbers = public.public_numbers()
        return _public_key(_coordinate(numbers.x), _coordinate(numbers.y))

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` (r and s, 64 octets) is this key's over `signed`."""
        if len(signature) != _SIGNATURE:
            return False
        r, s = int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:])
        try:
            self._key.verify(encode_dss_signature(r, s), signed, _ECDSA)
        except InvalidSignature:
            return False
        return True


class Es256Key:
    """A private P-256 key. It shows its public half only, unless asked for the secret by name."""

    __slots__ = ("_key", "public")

    def __init__(self, key: ECKey) -> None:
        self._key = key
        shown = key.as_dict(private=False)
        self.public = VerifyKey.from_jwk({name: str(shown[name]) for name in ("kty", "crv", "x", "y")})

    @staticmethod
    def generate() -> Es256Key:
        """A fresh key from the operating system's randomness."""
        return Es256Key(ECKey.generate_key("P-256"))

    @staticmethod
    def from_pem(pem: Secret) -> Es256Key:
        """Read PKCS #8.

        Raises:
            Invalid: code `bad_key`.
        """
        return _private_key(pem.reveal())

    @staticmethod
    def from_jwk(jwk: Mapping[str, str]) -> Es256Key:
        """Read a private JWK.

        Raises:
            Invalid: code `bad_key`.
        """
        return _private_key({name: jwk[name] for name in ("kty", "crv", "x", "y", "d") if name in jwk})

    @property
    def jwk(self) -> Mapping[str, str]:
        """The public key as a JWK."""
        return self.public.jwk

    @property
    def thumbprint(self) -> str:
        """RFC 7638, SHA-256: the key's id everywhere."""
        return self.public.thumbprint

    def secret_jwk(self) -> Secret:
        """The private key as JWK text, for a 0600 file and nothing else."""
        members = self._key.as_dict(private=True)
        return Secret(json.dumps({name: members[name] for name in ("kty", "crv", "x", "y", "d")}))

    def secret_pem(self) -> Secret:
        """The private key as PKCS #8 PEM, for a 0600 file and nothing else."""
        private = self._key.private_key
        if private is None:
            raise Invalid("bad_key", "expected a private key, got a public one")
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Secret(pem.decode())

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """A compact JWS; `alg` is ours to set."""
        payload = json.dumps(claims, separators=(",", ":"))
        return serialize_compact({**header, "alg": "ES256"}, payload, self._key, registry=REGISTRY)

    def __repr__(self) -> str:
        return f"Es256Key({self.thumbprint})"


def read_key_set(document: object) -> Mapping[str, VerifyKey]:
    """The keys of a JWK set that sign access tokens by ES256, by `kid`; others are skipped.

    A key that names another `purpose` (a member of ours) is one of the others.

    Raises:
        Invalid: code `bad_key`; not a key set, or without a usable key.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise Invalid("bad_key", "expected a JWK set with `keys`")
    found = {jwk["kid"]: jwk for jwk in listed if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str)}
    keys = {kid: VerifyKey.from_jwk(jwk) for kid, jwk in found.items() if _signs_tokens(jwk)}
    if not keys:
        raise Invalid("bad_key", "the JWK set holds no ES256 key")
    return keys


def _signs_tokens(jwk: Mapping[str, object]) -> bool:
    return jwk.get("kty") == "EC" and jwk.get("purpose", _TOKENS) == _TOKENS


def _coordinate(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(_HALF, "big")).rstrip(b"=").decode()


@lru_cache(maxsize=_KEYS_CACHED)
def _public_key(x: str, y: str) -> VerifyKey:
    jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    for coordinate in (x, y):
        try:
            octets_of(coordinate, "bad_key")
        except (Unauthenticated, UnicodeError) as error:
            raise Invalid("bad_key", "a coordinate is not canonical base64url") from error
    return VerifyKey(_import(jwk), jwk)


def _private_key(value: str | dict[str, str]) -> Es256Key:
    key = _import(value)
    if not key.is_private or key.curve_name != "P-256":
        raise Invalid("bad_key", "expected a private key on P-256")
    return Es256Key(key)


def _import(value: str | dict[str, str]) -> ECKey:
    try:
        return ECKey.import_key(dict(value) if isinstance(value, dict) else value)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        # The library's message may quote the key: it must not travel on.
        raise Invalid("bad_key", "the key cannot be read") from (None if isinstance(value, str) else error)
