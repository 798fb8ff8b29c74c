"""A certificate authority for loopback, made anew for each test session and kept in a folder."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = timedelta(days=2)


@dataclass(frozen=True)
class Bend:
    """What is not as it should be with an SVID."""

    above: tuple[x509.Certificate, ...] = ()
    authority: bool = False
    usage: str | None = "digital_signature"
    critical_usage: bool = True
    strange: bool = False
    life: tuple[timedelta, timedelta] = (timedelta(minutes=-5), _LIFE)


class Authority:
    """Signs server certificates and SVIDs; `path` is its own certificate in PEM."""

    def __init__(self, folder: Path, name: str = "rig", *, spiffe_id: str | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        if spiffe_id is not None:
            builder = builder.add_extension(_uri(spiffe_id), critical=False)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.folder = folder
        self.path = folder / f"{name}-ca.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *, spiffe_id: str | None = None) -> ssl.SSLContext:
        """What a server on 127.0.0.1 shows."""
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.DNSName("localhost"),
        ]
        extension = x509.SubjectAlternativeName(names) if spiffe_id is None else _uri(spiffe_id)
        certificate, key = self.leaf(extension)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def below(self, name: str, *, spiffe_id: str | None = None, path_length: int | None = None) -> Authority:
        """An intermediate authority that this one has issued."""
        made = Authority(self.folder, name)
        subject = made.certificate.subject
        builder = _builder(subject, self._name, made._key.public_key())
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )
        builder = builder.add_extension(_usage(signs=True), critical=True)
        if spiffe_id is not None:
            builder = builder.add_extension(_uri(spiffe_id), critical=False)
        made.certificate = builder.sign(self._key, hashes.SHA256())
        return made

    def svid(self, *uris: str, folder: Path, bend: Bend | None = None) -> Path:
        """`folder` with an X509-SVID for `uris` and its key, as an agent writes them."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        bent = bend or Bend()
        builder = _builder(x509.Name([]), self._name, key.public_key(), life=bent.life)
        if uris:
            builder = builder.add_extension(names, critical=True)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=bent.authority, path_length=None), critical=True
        )
        if bent.usage is not None:
            builder = builder.add_extension(_usage(signs=bent.usage == "signs"), critical=bent.critical_usage)
        if bent.strange:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x"), critical=True
            )
        made = builder.sign(self._key, hashes.SHA256())
        folder.mkdir(exist_ok=True)
        chain = [made, *bent.above]
        pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
        (folder / "svid.pem").write_bytes(pem)
        private = folder / "svid_key.pem"
        private.touch(0o600)
        private.write_bytes(_pem_of(key))
        return folder

    def leaf(self, names: x509.SubjectAlternativeName) -> tuple[Path, Path]:
        """A certificate for `names` and its key, as PEM files."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(x509.Name([]), self._name, key.public_key())
        builder = builder.add_extension(names, critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        made = builder.sign(self._key, hashes.SHA256())
        place = self.folder / f"leaf-{made.serial_number:x}"
        certificate, private = place.with_suffix(".pem"), place.with_suffix(".key")
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.touch(0o600)
        private.write_bytes(_pem_of(key))
        return certificate, private


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    *,
    life: tuple[timedelta, timedelta] = (timedelta(minutes=-5), _LIFE),
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + life[0])
        .not_valid_after(now + life[1])
    )


def _uri(name: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
