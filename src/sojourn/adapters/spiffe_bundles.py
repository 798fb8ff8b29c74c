"""Bundles of SPIFFE trust domains: from a file, or from an endpoint by either profile.

Each trust domain has its own keys; those of two are never looked at together. A bundle whose
sequence is lower than the one we hold is refused. An empty one is an answer: all is revoked.
(SPIFFE Trust Domain and Bundle, sections 4 and 5; SPIFFE Federation, section 5.)
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sojourn.adapters.issuer_keys import EVERY_S, Keys
from sojourn.adapters.outbound import Ask, Fetched, fetch
from sojourn.core.errors import Invalid, Unavailable
from sojourn.jose import read_foreign_keys
from sojourn.ports.clock import Clock
from sojourn.ports.issuers import BundleProfile, Federation, TrustDomain

_USUAL_S: Final = 300.0
_LONGEST_S: Final = 3600.0
_FILE_S: Final = 10.0  # a file is read again so often

Fetch = Callable[[Ask], Awaitable[Fetched]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one trust domain vouches with."""

    jwt: Keys
    roots: tuple[x509.Certificate, ...]
    sequence: int | None
    refresh_s: float


@dataclass(slots=True)
class _Held:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    bundle: Bundle | None = None
    until: float = 0.0
    asked_at: float | None = None
    failure: str = "no bundle is configured"


class SpiffeBundles:
    """Holds the bundle of each configured trust domain."""

    def __init__(self, clock: Clock, federation: Federation, *, fetch: Fetch = fetch) -> None:
        self._clock, self._domains, self._fetch = clock, federation.trust_domains, fetch
        self._held = {name: _Held() for name in self._domains}

    async def keys(self, trust_domain: str, kid: str | None) -> Keys:
        """The JWT keys of `trust_domain`; asked for again when `kid` is not among them.

        Raises:
            Unavailable: code `issuer_unavailable`.
        """
        return (await self._bundle(trust_domain, lambda b: kid is None or kid in b.jwt)).jwt

    async def roots(self, trust_domain: str) -> tuple[x509.Certificate, ...]:
        """The X.509 authorities of `trust_domain`.

        Raises:
            As `keys`.
        """
        return (await self._bundle(trust_domain, lambda b: True)).roots

    async def _bundle(self, trust_domain: str, serves: Callable[[Bundle], bool]) -> Bundle:
        held = self._held.get(trust_domain)
        if held is None:
            raise _unavailable(trust_domain, "it is not configured")
        if (found := self._fresh(held)) is not None and serves(found):
            return found
        async with held.lock:
            found = self._fresh(held)
            if (found is None or not serves(found)) and self._may_ask(held):
                await self._ask(self._domains[trust_domain], held)
        if (found := self._fresh(held)) is None:
            raise _unavailable(trust_domain, held.failure)
        return found

    def _fresh(self, held: _Held) -> Bundle | None:
        return held.bundle if self._clock.monotonic() < held.until else None

    def _may_ask(self, held: _Held) -> bool:
        return held.asked_at is None or self._clock.monotonic() - held.asked_at >= EVERY_S

    async def _ask(self, domain: TrustDomain, held: _Held) -> None:
        held.asked_at = self._clock.monotonic()
        try:
            if domain.endpoint is None:
                found = _read_file(domain.bundle)
            else:
                found = read_bundle(await self._from_endpoint(domain, held))
            _require_newer(held.bundle, found)
        except (Unavailable, Invalid) as error:
            held.failure = error.message
            return
        held.bundle = found
        held.until = self._clock.monotonic() + (found.refresh_s if domain.endpoint else _FILE_S)

    async def _from_endpoint(self, domain: TrustDomain, held: _Held) -> bytes:
        ask = Ask(str(domain.endpoint), domain.reach)
        if domain.profile is BundleProfile.HTTPS_SPIFFE:
            roots = (held.bundle or _read_file(domain.bundle)).roots
            ask = Ask(ask.url, ask.reach, context=_trusting(roots))
        answer = await self._fetch(ask)
        if domain.profile is BundleProfile.HTTPS_SPIFFE and _spiffe_id(answer) != domain.endpoint_id:
            raise Unavailable("issuer_unavailable", "the endpoint showed another SPIFFE ID than configured")
        if answer.status != 200:
            raise Unavailable("issuer_unavailable", f"it answered with status {answer.status}")
        return answer.body


def read_bundle(raw: bytes) -> Bundle:
    """Read a bundle; keys of unknown use or kind are left out.

    Raises:
        Invalid: code `bad_key`.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_key", "the bundle is not JSON") from error
    jwt = read_foreign_keys(document, use="jwt-svid")
    roots = tuple(_root(jwk) for jwk in document["keys"] if _is_root(jwk))
    sequence, hint = document.get("spiffe_sequence"), document.get("spiffe_refresh_hint")
    whole = isinstance(hint, int) and not isinstance(hint, bool)
    refresh_s = min(max(float(hint), EVERY_S), _LONGEST_S) if whole else _USUAL_S
    return Bundle(jwt, roots, sequence if isinstance(sequence, int) else None, refresh_s)


def _is_root(jwk: object) -> bool:
    return isinstance(jwk, dict) and jwk.get("use") == "x509-svid" and isinstance(jwk.get("x5c"), list)


def _root(jwk: Mapping[str, object]) -> x509.Certificate:
    chain = jwk["x5c"]
    first = chain[0] if isinstance(chain, list) and chain else None
    try:
        return x509.load_der_x509_certificate(base64.b64decode(str(first), validate=True))
    except (ValueError, binascii.Error) as error:
        raise Invalid("bad_key", "an authority of the bundle is no certificate") from error


def _require_newer(held: Bundle | None, found: Bundle) -> None:
    if held is None or held.sequence is None or found.sequence is None:
        return
    if found.sequence < held.sequence:
        raise Invalid("bad_key", f"its sequence went back from {held.sequence} to {found.sequence}")


def _read_file(path: Path | None) -> Bundle:
    try:
        return read_bundle(path.read_bytes()) if path is not None else _no_bundle()
    except OSError as error:
        raise Unavailable("issuer_unavailable", "the bundle's file cannot be read") from error


def _no_bundle() -> Bundle:
    raise Unavailable("issuer_unavailable", "there is no bundle to begin with")


def _trusting(roots: tuple[x509.Certificate, ...]) -> ssl.SSLContext:
    """TLS that trusts a trust domain's authorities and names nobody: the id is compared after."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    for root in roots:
        context.load_verify_locations(cadata=root.public_bytes(Encoding.DER))
    return context


def _spiffe_id(answer: Fetched) -> str | None:
    if answer.certificate is None:
        return None
    names = x509.load_der_x509_certificate(answer.certificate).extensions
    try:
        listed = names.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = listed.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else None


def _unavailable(trust_domain: str, why: str) -> Unavailable:
    return Unavailable("issuer_unavailable", f"the bundle of `{trust_domain[:80]}` is not to be had: {why}")
