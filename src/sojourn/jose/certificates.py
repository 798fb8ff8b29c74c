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


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that a peer presented, or that was registered."""

    der: bytes
    binding: str
    parsed: x509.Certificate


def read_certificate(der: bytes) -> Certificate:
    """Read DER.

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
    return Certificate(der, of_certificate(der), parsed)


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
    return len(rule) == 1 and _names(rule, shown.parsed) and _issued(shown.parsed, authorities, now)


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
    """Whether one of the authorities itself issued it; a chain in between is not followed."""
    for authority in authorities:
        if not authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
            continue
        try:
            shown.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False
