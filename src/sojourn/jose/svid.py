"""X509-SVIDs: a chain of certificates that ends in a trust domain's own authority (X509-SVID, 3 to 5).

The system's roots never count, and neither do those of another trust domain: the caller hands in
the authorities. That the holder has the private key is shown by what it signed, not here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.jwk import ECKey, RSAKey

from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.core.spiffe_id import SpiffeId
from sojourn.jose.foreign import ForeignKey

T = TypeVar("T", bound=x509.ExtensionType)
MOST_CERTIFICATES: Final = 4  # a leaf and up to three intermediates
_UNDERSTOOD: Final = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
    }
)


def read_chain(encoded: object) -> tuple[x509.Certificate, ...]:
    """The certificates of a header `x5c` (RFC 7515, section 4.1.6), the leaf first.

    Raises:
        Unauthenticated: code `bad_token`.
    """
    if not isinstance(encoded, list) or not 1 <= len(encoded) <= MOST_CERTIFICATES:
        raise _bad(f"expected 1 to {MOST_CERTIFICATES} certificates in `x5c`")
    try:
        return tuple(
            x509.load_der_x509_certificate(base64.b64decode(str(one), validate=True)) for one in encoded
        )
    except (ValueError, binascii.Error) as error:
        raise _bad("a certificate of `x5c` cannot be read") from error


def verify_svid(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], trust_domain: str, now: datetime
) -> tuple[SpiffeId, ForeignKey]:
    """Whom `chain` names, and the key it is for, when it leads to one of `roots`.

    Raises:
        Unauthenticated: code `bad_token`, saying what is not as the standard wants it.
    """
    leaf, *issuers = chain
    identity = _check_leaf(leaf, trust_domain)
    for certificate in chain:
        _check_valid(certificate, now)
    for depth, issuer in enumerate(issuers):
        _check_issuer(issuer, trust_domain, depth)
        _require_issued(chain[depth], (issuer,))
    usable = [root for root in roots if root.not_valid_before_utc <= now < root.not_valid_after_utc]
    _require_issued(chain[-1], usable)
    return identity, _key_of(leaf)


def _check_leaf(leaf: x509.Certificate, trust_domain: str) -> SpiffeId:
    names = _uris(leaf)
    if len(names) != 1:
        raise _bad("the leaf must have exactly one URI as its name")
    try:
        identity = SpiffeId.parse(names[0])
    except Invalid as error:
        raise _bad(error.message) from error
    if identity.trust_domain != trust_domain or not identity.path:
        raise _bad("the leaf names no workload of the trust domain")
    if _is_authority(leaf):
        raise _bad("an authority is no workload")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.critical:
        raise _bad("the leaf's key usage must be there and critical")
    if not usage.value.digital_signature or usage.value.key_cert_sign or usage.value.crl_sign:
        raise _bad("the leaf's key must be for signatures, and for nothing that authorities do")
    return identity


def _check_issuer(issuer: x509.Certificate, trust_domain: str, depth: int) -> None:
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        raise _bad("a certificate in between is no authority")
    if constraints.value.path_length is not None and constraints.value.path_length < depth:
        raise _bad("an authority stands above more others than it may")
    usage = _extension(issuer, x509.KeyUsage)
    if usage is None or not usage.value.key_cert_sign:
        raise _bad("an authority's key is not for signing certificates")
    if any(name != f"spiffe://{trust_domain}" for name in _uris(issuer)):
        raise _bad("an authority is of another trust domain, or has the name of a workload")


def _check_valid(certificate: x509.Certificate, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise _bad("a certificate has expired, or is not valid yet")
    try:
        unknown = [one for one in certificate.extensions if one.critical and one.oid not in _UNDERSTOOD]
    except (ValueError, x509.DuplicateExtension) as error:
        raise _bad("a certificate's extensions cannot be read") from error
    if unknown:
        raise _bad("a certificate has a critical extension that is not understood")


def _require_issued(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> None:
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return
    raise _bad("the chain does not lead to an authority of the trust domain")


def _uris(certificate: x509.Certificate) -> list[str]:
    names = _extension(certificate, x509.SubjectAlternativeName)
    return [] if names is None else names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.value.ca


def _extension(certificate: x509.Certificate, kind: type[T]) -> x509.Extension[T] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
    except (ValueError, x509.DuplicateExtension) as error:
        raise _bad("a certificate's extensions cannot be read") from error


def _key_of(leaf: x509.Certificate) -> ForeignKey:
    try:
        public = leaf.public_key()
        match public:
            case EllipticCurvePublicKey():
                return ForeignKey.from_jwk(ECKey.import_key(public).as_dict(private=False))
            case RSAPublicKey():
                return ForeignKey.from_jwk(RSAKey.import_key(public).as_dict(private=False))
            case _:
                raise _bad("expected a leaf with an EC or RSA key")
    except (ValueError, UnsupportedAlgorithm, Invalid) as error:
        raise _bad("the leaf's key cannot be used") from error


def _bad(message: str) -> Unauthenticated:
    return Unauthenticated("bad_token", message)
