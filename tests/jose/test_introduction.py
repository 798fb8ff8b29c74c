"""An introduction speaks for the key or the certificate that signed it, and for one of them only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sojourn.core.binding import of_certificate
from sojourn.core.errors import Unauthenticated
from sojourn.core.secret import Secret
from sojourn.jose import Es256Key, verify_introduction
from tests.rig.certificates import Pair, make

ISSUER = "https://sojourn.example"
NOW = datetime.now(UTC)


def introduction(by: Pair, header: Mapping[str, object]) -> str:
    at = int(NOW.timestamp())
    claims = {"sub": "child", "aud": ISSUER, "iat": at, "exp": at + 60, "jti": "j"}
    key = Es256Key.from_pem(Secret(by.key_pem.read_text()))
    return key.sign({"typ": "sojourn-introduction+jwt", **header}, claims)


def test_a_certificate_speaks_for_what_is_bound_to_it(tmp_path: Path) -> None:
    parent = make(tmp_path, "parent")

    shown = verify_introduction(introduction(parent, {"x5c": [parent.b64]}), ISSUER, NOW)

    assert (shown.parent_key, shown.child_key) == (of_certificate(parent.der), "child")


def test_a_certificate_with_another_key_or_beside_a_key_is_refused(tmp_path: Path) -> None:
    parent, victim = make(tmp_path, "parent"), make(tmp_path, "victim")
    jwk = Es256Key.from_pem(Secret(parent.key_pem.read_text())).jwk
    headers: list[dict[str, object]] = [
        {"x5c": [victim.b64]},
        {"x5c": [victim.b64, parent.b64]},
        {"x5c": [parent.b64], "jwk": jwk},
        {"x5c": []},
        {"x5c": [_of_another_curve()]},
        {"x5c": ["AAAA"]},
        {"x5c": ["?"]},
        {},
    ]

    for header in headers:
        with pytest.raises(Unauthenticated) as refused:
            verify_introduction(introduction(parent, header), ISSUER, NOW)
        assert refused.value.code == "bad_actor", header


def _of_another_curve() -> str:
    key, name = ec.generate_private_key(ec.SECP384R1()), x509.Name([])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW.replace(year=NOW.year + 1))
        .sign(key, hashes.SHA384())
    )
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()
