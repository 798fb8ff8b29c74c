"""Small parts of the scripted world: a clock, a signer, a bell, and what a comparison finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sojourn.core.session import Session
from sojourn.core.signing_key import KeyId, KeyState, Purpose, SigningKey
from sojourn.faces.http.doors import ChildRequest, OpenRequest
from sojourn.jose import Es256Key
from sojourn.ports.provider import Found, Presence
from tests.faces.samples import START, Reconciliation, Removed


class Reconcile:
    """Finds one unknown credential and one that is missing."""

    async def __call__(self, name: str) -> Reconciliation:
        return Reconciliation((Found("sj_dev0_x", "16401", START),), ("sj_dev0_y",), 1)

    async def apply(self, name: str, *, destroy_unknown: bool) -> Reconciliation:
        removed = (Removed("sj_dev0_x", Presence.ABSENT),) if destroy_unknown else ()
        return replace(await self(name), destroyed=removed)


class SetClock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.time = START
        self.slept = 0.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


class Signer:
    """The control plane's token key."""

    def __init__(self) -> None:
        self.key = Es256Key.generate()

    @property
    def kid(self) -> str:
        return self.key.thumbprint

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        return self.key.sign({**header, "kid": self.kid}, claims)

    def public_keys(self) -> Sequence[Mapping[str, str]]:
        return [{**self.key.jwk, "kid": self.kid, "alg": "ES256", "use": "sig"}]

    def row(self, purpose: Purpose) -> SigningKey:
        return SigningKey(KeyId(self.kid), 1, purpose, KeyState.ACTIVE, "ES256", self.key.jwk, START, START)

    async def reload(self) -> None: ...

    def signer(self, purpose: Purpose) -> Signer:
        return self

    def published(self) -> Sequence[Mapping[str, str]]:
        return self.public_keys()


class Notes:
    name = "sojourn.example/log"
    vkey = "sojourn.example/log+00000000+AAAA"
    vkeys = (vkey,)

    def sign_note(self, text: str) -> str:
        return text


class QuietBell:
    """A bell that remembers who waited."""

    def __init__(self) -> None:
        self.waited: list[tuple[int, float]] = []

    def ring(self, n: int) -> None: ...

    async def wait_beyond(self, n: int, timeout_s: float) -> None:
        self.waited.append((n, timeout_s))


def require_fit(asked: OpenRequest | ChildRequest, session: Session) -> None:
    """As the services do before they commit: what would be of no use is not opened."""
    if asked.fits is not None:
        asked.fits(session)
