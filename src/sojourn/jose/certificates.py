"""Client certificates: read, and matched with what was registered (RFC 8705, section 2).

That the peer holds the private key was shown by TLS; everything else is judged here, on every
request, so that a removed or expired certificate is out at once, whatever TLS remembers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from sojourn.core.binding import of_certificate
from sojourn.core.errors import Invalid

SELF_SIGNED: Final = "self_signed"
_SANS: Final[Mapping[str, type[x509.GeneralName]]] = {
    "san_dns": x509.DNSName,
    "san_uri": x509.UniformResourceIdentifier,
    "san_ip": x509.IPAddress,
    "san_email": x509.RFC822Name,
}
KINDS: Final = (SELF_SIGNED, "subject_dn", *_SANS)
_LARGEST: Final = 16 * 1024
MOST_BETWEEN: Final = 4  # intermediates of one chain


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that a peer presented, or that was registered."""

    der: bytes
    binding: str
    parsed: x509.Certificate
    chain: tuple[bytes, ...] = ()  # DER of what was shown between it and an authority; nothing vouches for it


def read_certificate(der: bytes, chain: Sequence[bytes] = ()) -> Certificate:
    """Read DER; of `chain` only what can count is kept, and it is not read yet.

    Raises:
        Invalid: code `bad_certificate`.
    """
    try:
        if len(der) > _LARGEST:
            raise ValueError("too large")
        parsed = x509.load_der_x509_certificate(der)
        parsed.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid("bad_certificate", "the certificate cannot be read") from error
    between = tuple(one for one in chain[:MOST_BETWEEN] if len(one) <= _LARGEST)
    return Certificate(der, of_certificate(der), parsed, between)


def read_authorities(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The authorities that may issue client certificates.

    Raises:
        Invalid: code `bad_certificate`.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise Invalid("bad_certificate", "the file of client authorities cannot be read") from error


def check_rule(rule: Mapping[str, str]) -> None:
    """Refuse a registration that does not name exactly one thing to match (RFC 8705, section 2.1.2).

    Raises:
        Invalid: code `bad_certificate`.
    """
    if len(rule) != 1 or not rule.keys() <= set(KINDS) or not all(rule.values()):
        raise Invalid("bad_certificate", f"expected exactly one of {', '.join(KINDS)}")
    if SELF_SIGNED in rule:
        registered(rule)


def registered(rule: Mapping[str, str]) -> Certificate | None:
    """The very certificate that was registered, if one was.

    Raises:
        Invalid: code `bad_certificate`.
    """
    if SELF_SIGNED not in rule:
        return None
    try:
        return read_certificate(base64.b64decode(rule[SELF_SIGNED], validate=True))
    except binascii.Error as error:
        raise Invalid("bad_certificate", "expected the certificate as base64 of DER") from error


def matches(
    rule: Mapping[str, str], shown: Certificate, authorities: Sequence[x509.Certificate], now: datetime
) -> bool:
    """Whether the certificate is one that the registration means, and is valid now."""
    if not shown.parsed.not_valid_before_utc <= now < shown.parsed.not_valid_after_utc:
        return False
    known = registered(rule)
    if known is not None:
        return known.der == shown.der
    if len(rule) != 1 or not _names(rule, shown.parsed):
        return False
    return _issued(shown.parsed, authorities, now) or _issued_through(shown, authorities, now)


def _names(rule: Mapping[str, str], shown: x509.Certificate) -> bool:
    ((kind, wanted),) = rule.items()
    if kind == "subject_dn":
        return shown.subject.rfc4514_string() == wanted
    if kind not in _SANS:
        return False
    try:
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return wanted in {str(name.value) for name in names if isinstance(name, _SANS[kind])}


def _issued(shown: x509.Certificate, authorities: Sequence[x509.Certificate], now: datetime) -> bool:
    """Whether one of the authorities itself issued it."""
    for authority in authorities:
        if not authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
            continue
        try:
            shown.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def _issued_through(shown: Certificate, authorities: Sequence[x509.Certificate], now: datetime) -> bool:
    """Whether the chain that was shown leads to one of the authorities (RFC 5280, section 6).

    Each in between must be an authority by its own extensions, for certificates, as deep as it may, of
    names that it may; an extended key usage of the leaf must include client authentication.
    """
    if not shown.chain or not authorities:
        return False
    verifier = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(now)
        .max_chain_depth(MOST_BETWEEN)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_leaves())
        .build_client_verifier()
    )
    try:
        verifier.verify(shown.parsed, [x509.load_der_x509_certificate(one) for one in shown.chain])
    except (VerificationError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _leaves() -> ExtensionPolicy:
    """What a client's own certificate may say of itself; its name was compared before."""
    return ExtensionPolicy.permit_all().may_be_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients
    )


def _for_clients(policy: Policy, leaf: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    allowed = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if usage is not None and not allowed & set(usage):
        raise ValueError("the certificate is not for clients")
