"""A clock that is set, a key, and other small things that the face is given in its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sojourn.jose import Es256Key
from tests.faces.samples import START


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


class Notes:
    name = "sojourn.example/log"
    vkey = "sojourn.example/log+00000000+AAAA"

    def sign_note(self, text: str) -> str:
        return text


class QuietBell:
    """A bell that remembers who waited."""

    def __init__(self) -> None:
        self.waited: list[tuple[int, float]] = []

    def ring(self, n: int) -> None: ...

    async def wait_beyond(self, n: int, timeout_s: float) -> None:
        self.waited.append((n, timeout_s))
