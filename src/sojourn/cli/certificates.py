"""What may be typed to register a client by its certificate."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from sojourn.core.errors import Invalid

Certificate = Annotated[
    str | None,
    Parameter(help="Know it by a certificate: `subject_dn=…`, `san_dns=…`, or `self_signed=FILE` (PEM)."),
]
_SELF_SIGNED: Final = "self_signed"


def certificate_rule(text: str | None) -> dict[str, object]:
    """The member `certificate` of a registration; none when nothing was typed.

    Raises:
        Invalid: code `usage_certificate`.
    """
    if text is None:
        return {}
    kind, equals, value = text.partition("=")
    if not (kind and equals and value):
        raise Invalid("usage_certificate", f"expected `--certificate KIND=VALUE`, got `{text[:80]}`")
    return {"certificate": {kind: _der_of(Path(value)) if kind == _SELF_SIGNED else value}}


def _der_of(path: Path) -> str:
    try:
        pem = path.read_text(encoding="ascii")
        first = pem[pem.index(ssl.PEM_HEADER) : pem.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]
        return base64.b64encode(ssl.PEM_cert_to_DER_cert(first)).decode("ascii")
    except (OSError, ValueError) as error:
        raise Invalid("usage_certificate", f"`{path}` holds no certificate in PEM") from error
