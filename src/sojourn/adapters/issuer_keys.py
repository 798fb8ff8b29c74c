"""The keys that issuers publish: fetched seldom, kept within their own bounds, never guessed.

    fetch          at most once in 10 s for each issuer and document, whatever is presented meanwhile
    kept           for `max-age` of the answer, between 10 s and 1 h; 5 min when it states none
    failed         remembered for 10 s; nothing older is used once it has expired
    empty          an empty set is an answer: every key is revoked
    same kid       a `kid` names the key it first named; under another one it serves nobody

Opens and attested beats wait for this; ends and everything else do not.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from sojourn.adapters.outbound import Ask, Fetched, fetch
from sojourn.core.errors import Invalid, Unavailable
from sojourn.jose import ForeignKey, read_foreign_keys
from sojourn.ports.clock import Clock
from sojourn.ports.issuers import Federation, IssuerPlace

EVERY_S: Final = 10.0
_USUAL_S: Final = 300.0
_LONGEST_S: Final = 3600.0
_MOST_ISSUERS: Final = 1000
_MOST_KIDS: Final = 1000  # remembered for each issuer
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,9})")

Fetch = Callable[[Ask], Awaitable[Fetched]]
Keys = Mapping[str, ForeignKey]


@dataclass(slots=True)
class _Known:
    """What is known of one issuer, in seconds of the monotonic clock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: Keys | None = None
    until: float = 0.0
    asked_at: float | None = None
    jwks_uri: str | None = None
    discovered_until: float = 0.0
    failure: str = ""
    named: dict[str, ForeignKey] = field(default_factory=dict)


class IssuerKeys:
    """Finds the key that a token names, asking its issuer when that may help."""

    def __init__(self, clock: Clock, federation: Federation, *, fetch: Fetch = fetch) -> None:
        self._clock, self._federation, self._fetch = clock, federation, fetch
        self._known: dict[str, _Known] = {}

    async def keys(self, issuer: str, kid: str | None) -> Keys:
        """The keys of `issuer` now; a set that lacks `kid` is asked for again if its time has come.

        Raises:
            Unavailable: code `issuer_unavailable`.
        """
        known = self._of(issuer)
        if self._serves(known, kid):
            return known.keys or {}
        async with known.lock:  # one asks, the others wait for its answer
            if not self._serves(known, kid) and self._may_ask(known):
                await self._ask(issuer, known)
        if known.keys is None or self._clock.monotonic() >= known.until:
            raise Unavailable(
                "issuer_unavailable", f"the keys of `{issuer[:120]}` are not to be had: {known.failure}"
            )
        return known.keys

    def _of(self, issuer: str) -> _Known:
        if issuer not in self._known and len(self._known) >= _MOST_ISSUERS:
            self._known.pop(next(iter(self._known)))
        return self._known.setdefault(issuer, _Known())

    def _serves(self, known: _Known, kid: str | None) -> bool:
        fresh = known.keys is not None and self._clock.monotonic() < known.until
        return fresh and (kid is None or kid in (known.keys or {}))

    def _may_ask(self, known: _Known) -> bool:
        return known.asked_at is None or self._clock.monotonic() - known.asked_at >= EVERY_S

    async def _ask(self, issuer: str, known: _Known) -> None:
        known.asked_at = self._clock.monotonic()
        place = self._federation.issuers.get(issuer, IssuerPlace())
        try:
            answer = await self._fetch(Ask(await self._jwks_uri(issuer, place, known), place.reach))
            found = read_foreign_keys(_document(answer))
        except (Unavailable, Invalid) as error:
            known.failure = error.message
            known.discovered_until = 0.0  # the place itself may have moved
            return
        known.keys = _steady(known.named, found)
        known.until = self._clock.monotonic() + _age(answer)

    async def _jwks_uri(self, issuer: str, place: IssuerPlace, known: _Known) -> str:
        if place.jwks_uri is not None:
            return place.jwks_uri
        if known.jwks_uri is not None and self._clock.monotonic() < known.discovered_until:
            return known.jwks_uri
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        document = _document(await self._fetch(Ask(url, place.reach)))
        found = document.get("jwks_uri")
        if (
            document.get("issuer") != issuer
            or not isinstance(found, str)
            or urlsplit(found).scheme != "https"
        ):
            raise Unavailable("issuer_unavailable", "its discovery document is not its own")
        known.jwks_uri, known.discovered_until = found, self._clock.monotonic() + _LONGEST_S
        return found


def _document(answer: Fetched) -> Mapping[str, object]:
    if answer.status != 200:
        raise Unavailable("issuer_unavailable", f"it answered with status {answer.status}")
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise Unavailable("issuer_unavailable", "what it answered is not JSON") from error
    if not isinstance(document, dict):
        raise Unavailable("issuer_unavailable", "what it answered is no JSON object")
    return document


def _steady(named: dict[str, ForeignKey], found: Keys) -> Keys:
    """`found` without the keys that took the `kid` of another; `named` learns the new names."""
    steady: dict[str, ForeignKey] = {}
    for kid, key in found.items():
        if len(named) >= _MOST_KIDS and kid not in named:
            named.pop(next(iter(named)))
        first = named.setdefault(kid, key)
        if first.key.thumbprint() == key.key.thumbprint():
            steady[kid] = key
    return steady


def _age(answer: Fetched) -> float:
    stated = _MAX_AGE.search(answer.headers.get("cache-control", ""))
    return min(max(float(stated[1]), EVERY_S), _LONGEST_S) if stated else _USUAL_S
