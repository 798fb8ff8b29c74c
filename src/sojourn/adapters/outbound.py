"""Requests to addresses that others had a say in: bounded, and never into a network of ours.

A name is resolved once and the connection goes to that very address, so that a second answer of
the resolver changes nothing. Every address the name has must be public or allowed by name. There
is no redirect, no proxy, no compression, at most 256 KB and 5 s.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx2

from sojourn.core.errors import Unavailable
from sojourn.ports.issuers import Reach

WITHIN_S: Final = 5.0
LARGEST: Final = 256 * 1024
_PORT: Final = 443
_MOST_TRIED: Final = 3  # addresses of one name
PUBLIC: Final = Reach()
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Addresses that stand for IPv4 ones: what they lead to is not what they look like.
_TRANSLATED: Final = tuple(ipaddress.ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"))


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, read whole; `certificate` is the peer's in DER."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `context` overrides what certificates are checked against."""

    url: str
    reach: Reach = PUBLIC
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    context: ssl.SSLContext | None = None


async def fetch(ask: Ask) -> Fetched:
    """The answer to one request, whatever its status.

    Raises:
        Unavailable: code `unreachable_issuer`; not allowed, not there, too slow or too large.
    """
    parts = _checked(ask)
    try:
        async with asyncio.timeout(WITHIN_S):
            *others, last = await _resolve(parts, ask.reach)
            for address in others:
                try:
                    return await _send(ask, parts, address)
                except httpx2.ConnectError:
                    continue  # a host may have addresses of a family that this machine lacks
            return await _send(ask, parts, last)
    except (TimeoutError, OSError, httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as error:
        raise _refused(parts.hostname or "", type(error).__name__) from error


def is_reachable(address: Address, networks: Sequence[str]) -> bool:
    """Whether a request may go to `address`: public, or in one of `networks`."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        return False  # the resolver was asked for both families: nobody needs the mixed form
    if any(address in ipaddress.ip_network(one, strict=False) for one in networks):
        return True
    if any(address in one for one in _TRANSLATED):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _checked(ask: Ask) -> SplitResult:
    parts = urlsplit(ask.url)
    host = parts.hostname or ""
    if parts.scheme != "https" or not host.isascii() or parts.username is not None or parts.fragment:
        raise _refused(host, "expected a plain https address")
    try:
        port = parts.port or _PORT
    except ValueError as error:
        raise _refused(host, "no such port") from error
    if port != _PORT and not ask.reach.networks:
        raise _refused(host, "another port than 443 has to be allowed in the server's file")
    return parts


async def _resolve(parts: SplitResult, reach: Reach) -> list[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(
        parts.hostname, parts.port or _PORT, type=socket.SOCK_STREAM
    )
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses or not all(is_reachable(one, reach.networks) for one in addresses):
        raise _refused(parts.hostname or "", "it is, or may be, inside a private network")
    return list(dict.fromkeys(addresses))[:_MOST_TRIED]


async def _send(ask: Ask, parts: SplitResult, address: Address) -> Fetched:
    host = f"[{address}]" if address.version == 6 else str(address)
    pinned = parts._replace(netloc=f"{host}:{parts.port or _PORT}").geturl()
    headers = {"Host": parts.netloc, "Accept": "application/json", "Accept-Encoding": "identity"}
    context = ask.context or _trusting(ask.reach.ca)
    limits = httpx2.Timeout(WITHIN_S)
    async with httpx2.AsyncClient(verify=context, trust_env=False, timeout=limits) as client:
        request = client.build_request(
            ask.method,
            pinned,
            headers={**headers, **(ask.headers or {})},
            content=ask.body,
            extensions={"sni_hostname": parts.hostname},
        )
        answer = await client.send(request, stream=True, follow_redirects=False)
        try:
            certificate = _certificate_of(answer)
            return Fetched(answer.status_code, dict(answer.headers), await _read(answer), certificate)
        finally:
            await answer.aclose()


async def _read(answer: httpx2.Response) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("compressed, though asked not to be")
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > LARGEST:
            raise httpx2.DecodingError(f"more than {LARGEST} bytes")
    return bytes(body)


def _certificate_of(answer: httpx2.Response) -> bytes | None:
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    return None if tls is None else tls.getpeercert(binary_form=True)


def _trusting(ca: Path | None) -> ssl.SSLContext:
    """TLS that trusts the authorities in a file as it is now, or those of the system."""
    return _context(ca, 0 if ca is None else ca.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _context(ca: Path | None, changed: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=None if ca is None else str(ca))


def _refused(host: str, why: str) -> Unavailable:
    return Unavailable("unreachable_issuer", f"`{host[:80]}` cannot be asked: {why}")
