"""Authorities and certificates for tests, in files."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = datetime.timedelta(hours=1)
HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    pem: Path
    key_pem: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def b64(self) -> str:
        return base64.b64encode(self.der).decode()

    @property
    def dn(self) -> str:
        return self.certificate.subject.rfc4514_string()


def make(
    folder: Path,
    name: str,
    *,
    by: Pair | None = None,
    sans: Sequence[x509.GeneralName] = (),
    authority: bool = False,
    life: datetime.timedelta = HOUR,
    usage: Sequence[x509.ObjectIdentifier] = (),
    depth: int | None = None,
) -> Pair:
    """A certificate for `name`, issued by `by` or signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = datetime.datetime.now(datetime.UTC) - HOUR
    building = (
        x509.CertificateBuilder(
            by.certificate.subject if by else subject, subject, key.public_key(), x509.random_serial_number()
        )
        .not_valid_before(begins)
        .not_valid_after(begins + HOUR + life)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=depth), critical=True)
    )
    if authority:
        building = building.add_extension(_SIGNS_CERTIFICATES, critical=True)
        building = building.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    if by is not None:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
        building = building.add_extension(issuer, critical=False)
    if usage:
        building = building.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    if sans:
        building = building.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    made = building.sign(by.key if by else key, hashes.SHA256())
    pem, key_pem = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_pem.touch(0o600)
    key_pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return Pair(made, key, pem, key_pem)
