"""The certificate at the other end of the connection, in the ASGI scope, and who may speak of another's.

uvicorn does not say who its peer is. `PeerProtocol` does, as the TLS extension of ASGI has it. Headers
`Client-Cert` and `Client-Cert-Chain` (RFC 9440) count from a configured proxy, and from nobody else.
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
_CHAIN_HEADER: Final = "client-cert-chain"
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
        shown = [] if tls is None else _chain_of(tls)
        self._chain = tuple(ssl.DER_cert_to_PEM_cert(one) for one in shown)

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
        return _forwarded(values, request.headers.getlist(_CHAIN_HEADER)) if values else None
    tls = request.scope.get("extensions", {}).get("tls", {})
    chain: Sequence[str] = tls.get("client_cert_chain") or ()
    ders = [ssl.PEM_cert_to_DER_cert(one) for one in chain]
    return read_certificate(ders[0], ders[1:]) if ders else None


def _chain_of(tls: ssl.SSLObject) -> list[bytes]:
    """What the peer has shown, its own certificate first, in DER; nothing of it is vouched for here."""
    own = tls.getpeercert(binary_form=True)
    if own is None:
        return []
    whole = getattr(tls, "get_unverified_chain", None)  # Python 3.13
    if whole is not None:
        return [own, *whole()[1:]]
    older = getattr(tls, "_sslobj", None)  # the same method, before it was given a public name
    found = [] if older is None else older.get_unverified_chain() or []
    return [own, *(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found[1:])]


def _forwarded(values: Sequence[str], chains: Sequence[str]) -> Certificate:
    """RFC 9440, sections 2.2 and 2.3: one byte sequence, and a list of them without the first."""
    try:
        if len(values) != 1:
            raise ValueError("not one byte sequence")
        between = [_sequence(one) for chain in chains for one in chain.split(",") if one.strip()]
        return read_certificate(_sequence(values[0]), between)
    except (ValueError, binascii.Error, Invalid) as error:
        raise Unauthenticated("bad_evidence", "`Client-Cert` is not one certificate") from error


def _sequence(text: str) -> bytes:
    """A byte sequence of structured fields, `:base64:` (RFC 8941, section 3.3.5)."""
    text = text.strip()
    if len(text) < 3 or not (text[0] == text[-1] == ":"):
        raise ValueError("not a byte sequence")
    return base64.b64decode(text[1:-1], validate=True)


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
