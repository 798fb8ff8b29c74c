"""An X509-SVID as evidence: a short assertion, signed with its key, that carries its chain.

Certificate and key are files that an agent keeps fresh; both are read anew each time.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from sojourn.client.clock import EdgeClock
from sojourn.client.private_file import read_private
from sojourn.client.signing import encode
from sojourn.core.errors import Invalid, NotFound, Unavailable

CERTIFICATE: Final = "svid.pem"
KEY: Final = "svid_key.pem"
_LIFE_S: Final = 60
_CURVES: Final[Mapping[str, tuple[str, hashes.HashAlgorithm]]] = {
    "secp256r1": ("ES256", hashes.SHA256()),
    "secp384r1": ("ES384", hashes.SHA384()),
}


@dataclass(frozen=True, slots=True)
class SvidSource:
    """The folder in which an agent keeps `svid.pem` (the chain) and `svid_key.pem` (0600)."""

    folder: Path
    client: str
    audience: str

    def gather(self) -> Mapping[str, str]:
        """An assertion that serves once."""
        try:
            chain = x509.load_pem_x509_certificates((self.folder / CERTIFICATE).read_bytes())
            key = load_pem_private_key(read_private(self.folder / KEY).encode("ascii"), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm, NotFound) as error:
            raise Unavailable("evidence_unavailable", f"cannot read the SVID in `{self.folder}`") from error
        return {
            "type": "spiffe_x509",
            "assertion": assert_svid(chain, key, self.audience),
            "client": self.client,
        }


def assert_svid(chain: Sequence[x509.Certificate], key: object, audience: str) -> str:
    """An assertion for `audience` that serves once, by the key of the chain's first certificate.

    Raises:
        Invalid: code `bad_svid`.
    """
    at, identity = int(EdgeClock().now().timestamp()), _identity(chain[0])
    claims = {"iss": identity, "sub": identity, "aud": audience, "iat": at, "exp": at + _LIFE_S}
    header = {
        "alg": _algorithm(key),
        "typ": "x509-svid+jwt",
        "kid": "svid",
        "x5c": [base64.b64encode(one.public_bytes(Encoding.DER)).decode("ascii") for one in chain],
    }
    signed = f"{_part(header)}.{_part({**claims, 'jti': secrets.token_urlsafe(16)})}"
    return f"{signed}.{encode(_sign(key, signed.encode('ascii')))}"


def _identity(leaf: x509.Certificate) -> str:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise Invalid("bad_svid", "the certificate names no SPIFFE ID") from error
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


def _algorithm(key: object) -> str:
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return _CURVES[key.curve.name][0]
        case rsa.RSAPrivateKey():
            return "RS256"
        case _:
            raise Invalid("bad_svid", "expected an SVID with a key on P-256 or P-384, or an RSA key")


def _sign(key: object, signed: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(_CURVES[key.curve.name][1])))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    raise Invalid("bad_svid", "expected an SVID with an EC or RSA key")


def _part(value: Mapping[str, object]) -> str:
    return encode(json.dumps(value, separators=(",", ":")).encode("ascii"))
