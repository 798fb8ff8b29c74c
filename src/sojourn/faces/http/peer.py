"""The certificate at the other end of the connection, in the ASGI scope, and who may speak of another's.

uvicorn does not say who its peer is. `PeerProtocol` does, as the TLS extension of ASGI has it. A
`Client-Cert` header (RFC 9440) counts from a configured proxy and is nothing from anybody else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sojourn.core.errors import Invalid, Unauthenticated
from sojourn.faces.http.one_write import in_one
from sojourn.jose.certificates import Certificate, read_certificate

_HEADER: Final = "client-cert"
LOOK_EVERY_S: Final = 2.0  # how long after its registration a certificate is let through TLS at the latest


@dataclass(frozen=True, slots=True)
class PeerTrust:
    """Whose word on certificates counts: authorities that issue them, proxies that forward them."""

    authorities: tuple[x509.Certificate, ...] = ()
    proxies: frozenset[str] = frozenset()


class PeerProtocol(HttpToolsProtocol):
    """HTTP/1.1 with the peer's certificate under `scope["extensions"]["tls"]`."""

    _chain: tuple[str, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who is at the other end."""
        super().connection_made(in_one(transport))
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        der = None if tls is None else tls.getpeercert(binary_form=True)
        self._chain = () if der is None else (ssl.DER_cert_to_PEM_cert(der),)

    def on_message_begin(self) -> None:
        """Put it into the scope of each request."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {"tls": {"client_cert_chain": self._chain}}


def presented(request: Request, trust: PeerTrust) -> Certificate | None:
    """The certificate of the caller, if it showed one.

    Raises:
        Unauthenticated: code `bad_evidence`; a proxy forwarded something else.
    """
    if request.client is not None and request.client.host in trust.proxies:
        values = request.headers.getlist(_HEADER)
        return _forwarded(values) if values else None
    tls = request.scope.get("extensions", {}).get("tls", {})
    chain: Sequence[str] = tls.get("client_cert_chain") or ()
    return read_certificate(ssl.PEM_cert_to_DER_cert(chain[0])) if chain else None


def _forwarded(values: Sequence[str]) -> Certificate:
    """RFC 9440, section 2.1: one byte sequence of structured fields, `:base64:`."""
    text = values[0].strip()
    try:
        if len(values) != 1 or len(text) < 3 or not (text[0] == text[-1] == ":"):
            raise ValueError("not one byte sequence")
        return read_certificate(base64.b64decode(text[1:-1], validate=True))
    except (ValueError, binascii.Error, Invalid) as error:
        raise Unauthenticated("bad_evidence", "`Client-Cert` is not one certificate") from error


def ask_for_certificates(context: ssl.SSLContext, authorities: Sequence[x509.Certificate]) -> None:
    """Let peers show a certificate, and let no connection live on by what an earlier one showed."""
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    for authority in authorities:
        accept(context, authority.public_bytes(Encoding.DER))


def accept(context: ssl.SSLContext, der: bytes) -> None:
    """Let a certificate through TLS; whether it means anything is judged on each request."""
    context.load_verify_locations(cadata=der)


async def follow_registrations(
    context: ssl.SSLContext, registered: Callable[[], Awaitable[Sequence[bytes]]]
) -> None:
    """Let self-signed certificates through TLS soon after they were registered, at any node."""
    known: set[bytes] = set()
    while True:
        for der in await registered():
            if der not in known:
                accept(context, der)
                known.add(der)
        await asyncio.sleep(LOOK_EVERY_S)
