"""Key pairs of the three algorithms that we sign with: made, used, and shown as JWKs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sojourn.core.errors import Invalid
from sojourn.core.proof import thumbprint_of

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | Ed25519PublicKey

_COORDINATE: Final = 32
_ECDSA: Final = ec.ECDSA(hashes.SHA256())
_RSA_BITS: Final = 2048
_EXPONENT: Final = 65_537


def generate(algorithm: str) -> PrivateKey:
    """A fresh key from the operating system's randomness.

    Raises:
        Invalid: code `bad_key`; we do not sign by that algorithm.
    """
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "RS256":
            return rsa.generate_private_key(_EXPONENT, _RSA_BITS)
        case "Ed25519":
            return Ed25519PrivateKey.generate()
        case _:
            raise Invalid("bad_key", f"we do not sign by `{algorithm[:20]}`")


def sign(private: PrivateKey, message: bytes) -> bytes:
    """The signature in the form that JWS has: r and s for ES256, as it comes for the others."""
    if isinstance(private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(private.sign(message, _ECDSA))
        return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return private.sign(message)


def jwk_of(public: PublicKey) -> Mapping[str, str]:
    """The public key as a JWK (RFC 7517), with the members that make its thumbprint and no others."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        x, y = point.x.to_bytes(_COORDINATE, "big"), point.y.to_bytes(_COORDINATE, "big")
        return {"crv": "P-256", "kty": "EC", "x": b64(x), "y": b64(y)}
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"e": b64(_unsigned(numbers.e)), "kty": "RSA", "n": b64(_unsigned(numbers.n))}
    return {"crv": "Ed25519", "kty": "OKP", "x": b64(public.public_bytes_raw())}


def kid_of(jwk: Mapping[str, str]) -> str:
    """The id of a key of ours: its RFC 7638 thumbprint."""
    return thumbprint_of(jwk)


def to_octets(private: PrivateKey) -> bytes:
    """PKCS #8, to be sealed at once."""
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def from_octets(octets: bytes) -> PrivateKey:
    """The key that `to_octets` wrote.

    Raises:
        Invalid: code `bad_key`.
    """
    try:
        found = serialization.load_der_private_key(octets, None)
    except (ValueError, TypeError):
        raise Invalid("bad_key", "the key cannot be read") from None  # the message may quote it
    if not isinstance(found, PrivateKey):
        raise Invalid("bad_key", "the key is of a kind that we do not sign with")
    return found


def b64(octets: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
